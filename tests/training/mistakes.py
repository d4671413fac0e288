"""Mistakes in the functions of an experiment, one per row: the code, and texts that the error must contain.

`# here` marks the line that the error must name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent

IMPORTS = """import random
import torch, torchvision
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.optim import SGD, lr_scheduler
from torchvision.transforms import v2
from harness import Callback, Experiment
from harness.errors import TrainingError
"""
VALUES = {
    "model": "'small_cnn'",
    "weights": "None",
    "image_size": "16",
    "epochs": "1",
    "folds": "0",
    "batch_size": "8",
    "precision": "'fp32'",
    "trackers": "()",
}


@dataclass(frozen=True)
class Mistake:
    """A mistake in an experiment file. The three lines of the error must contain each text in `says`."""

    name: str
    code: str
    fields: str = ""  # of the experiment, as `name=value`, separated by ";"
    says: tuple[str, ...] = ()
    exit_code: int = 2
    note: str = ""  # a warning of the plan, with or without an error
    command: str = "run"
    trains: bool = False  # whether the error comes only in training

    def text(self, data: Path) -> str:
        """Returns the content of the experiment file."""
        given = {"data": repr(str(data)), **VALUES}
        given |= dict(field.split("=", 1) for field in self.fields.split(";") if field)
        values = ", ".join(f"{name}={value}" for name, value in given.items())
        return f"{IMPORTS}{dedent(self.code)}\nexperiment = Experiment({values})\n"

    @property
    def line(self) -> int | None:
        """The number of the marked line; None without a mark."""
        lines = f"{IMPORTS}{dedent(self.code)}".splitlines()
        return next((number for number, line in enumerate(lines, start=1) if "# here" in line), None)


def module(output: str, init: str = "pass") -> str:
    return f"""
        class Net(nn.Module):
            def __init__(self, classes):
                super().__init__()
                self.head = nn.Linear(48, classes)
                {init}
            def logits(self, images):
                return self.head(F.adaptive_avg_pool2d(images, 4).flatten(1))
            def forward(self, images):
                return {output}
    """


def callback(event: str, statement: str) -> str:
    return f"""
        class Mine(Callback):
            def {event}(self, state):
                {statement}
    """


def marked(code: str, begins: str) -> str:
    """Returns the code with the mark on the line that begins with `begins`."""
    lines = code.splitlines()
    index = next(i for i, line in enumerate(lines) if line.strip().startswith(begins))
    return "\n".join([*lines[:index], f"{lines[index]}  # here", *lines[index + 1 :]])


def forward(name: str, output: str, *says: str, init: str = "pass", at: str = "def forward") -> Mistake:
    """Returns a model whose forward returns `output`, an expression of `self` and `images`."""
    return Mistake(name, marked(module(output, init), at), "model=Net", ("model Net.forward", *says))


def augment(name: str, output: str, *says: str, fields: str = "", trains: bool = False) -> Mistake:
    code = f"def mirror(image):  # here\n    return {output}"
    return Mistake(name, code, f"augment=mirror{fields}", ("augment mirror", *says), trains=trains)


def loss(name: str, output: str, *says: str) -> Mistake:
    return Mistake(
        name, f"def softened(logits, targets):  # here\n    return {output}", "loss=softened", ("loss softened", *says)
    )


def optimizer(name: str, output: str, *says: str) -> Mistake:
    code = f"def steps(parameters, lr, weight_decay):  # here\n    return {output}"
    return Mistake(name, code, "optimizer=steps", ("optimizer steps", *says))


def scheduler(name: str, output: str, *says: str, epochs: int = 1) -> Mistake:
    code = f"def rates(optimizer, epochs):  # here\n    return {output}"
    return Mistake(name, code, f"scheduler=rates;epochs={epochs}", ("scheduler rates", *says))


def space(name: str, output: str, *says: str) -> Mistake:
    code = f"def search_space(trial):  # here\n    return {output}"
    return Mistake(name, code, "", ("search_space", *says), command="search")


def left(name: str, event: str, statement: str, *says: str) -> Mistake:
    """Returns a callback that writes something to the state that the rest of the fit cannot use."""
    code = marked(callback(event, statement), "def on_")
    return Mistake(name, code, "callbacks=[Mine()]", (f"callback Mine.{event}", *says), trains=True)


def raising(kind: str, statement: str, says: str) -> list[Mistake]:
    """Returns a mistake for each function: it raises the exception."""
    body = f"\n    {statement}  # here"
    rows = [
        Mistake("model function", f"def net(classes):{body}", "model=net", ("model net",)),
        Mistake("forward", marked(module("self.fails()"), "return self.fails"), "model=Net", ("model Net.forward",)),
        Mistake("augment", f"def mirror(image):{body}", "augment=mirror", ("augment mirror",)),
        Mistake("loss", f"def softened(logits, targets):{body}", "loss=softened", ("loss softened",)),
        Mistake("optimizer", f"def steps(parameters, **rest):{body}", "optimizer=steps", ("optimizer steps",)),
        Mistake("scheduler", f"def rates(optimizer, epochs):{body}", "scheduler=rates", ("scheduler rates",)),
        Mistake("search space", f"def search_space(trial):{body}", "", ("search_space",), command="search"),
    ]
    fails = f"            def fails(self):\n                {statement}  # here\n"
    rows[1] = replace(rows[1], code=module("self.fails()").rstrip(" ") + fails)
    rows += [
        Mistake(
            event,
            callback(event, f"{statement}  # here"),
            "callbacks=[Mine()]",
            (f"callback Mine.{event}",),
            trains=True,
        )
        for event in ("on_fit_start", "on_batch_end", "on_fit_end")
    ]
    return [replace(row, name=f"{row.name} raises {kind}", says=(*row.says, "failed at", says)) for row in rows]


RAISED = [
    *raising("ValueError", "raise ValueError('no such thing')", "ValueError: no such thing"),
    *raising("BrokenPipeError", "raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError: [Errno 32]"),
    *raising("KeyError", "raise KeyError('lr')", "KeyError: 'lr'"),
    *raising("AssertionError without text", "assert False", "why: AssertionError"),
    *raising("StopIteration", "next(iter([]))", "StopIteration"),
    *raising("SystemExit", "raise SystemExit(0)", "SystemExit: 0"),
    *raising("EOFError", "raise EOFError", "EOFError"),
    *(
        Mistake(
            f"{event} raises",
            callback(event, "state.nothing  # here"),
            "callbacks=[Mine()]",
            (f"callback Mine.{event} failed", "'State' object has no attribute 'nothing'"),
            trains=True,
        )
        for event in ("on_epoch_start", "on_batch_start", "on_backward_end", "on_epoch_end")
    ),
    Mistake(
        "a callback recurses",
        "def f(x):\n    return f(x)  # here\nclass Mine(Callback):\n    def on_epoch_end(self, state):\n        f(1)",
        "callbacks=[Mine()]",
        ("callback Mine.on_epoch_end failed at", "RecursionError"),
        trains=True,
    ),
    Mistake(
        "a callback raises an error of the package",
        callback("on_epoch_end", "raise TrainingError('my what', 'my why', 'my fix')"),
        "callbacks=[Mine()]",
        ("error: my what", "why: my why", "try: my fix"),
        exit_code=1,
        trains=True,
    ),
    Mistake("the file raises", "raise BrokenPipeError('x')  # here", "", ("the experiment file failed", "BrokenPipe")),
    Mistake("the file exits", "raise SystemExit(0)  # here", "", ("the experiment file failed", "SystemExit: 0")),
    Mistake(
        "the file imports nothing", "import nothing_there  # here", "", ("experiment file failed", "nothing_there")
    ),
]
MODELS = [
    Mistake("model None", "def net(classes):  # here\n    pass", "model=net", ("model net", "returned None", "Module")),
    Mistake("model class", "def net(classes):  # here\n    return nn.Linear", "model=net", ("net", "returned a type")),
    Mistake("model arity", "def net():  # here\n    return 1", "model=net", ("model net", "0 positional arguments")),
    Mistake(
        "model of a library",
        "",
        "model=torchvision.models.vgg.make_layers",
        ("model make_layers failed", "TypeError"),
    ),
    Mistake(
        "model without parameters",
        "class Net(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"
        "    def forward(self, images):\n        return images.mean((2, 3))[:, :2]",
        "model=Net",
        ("nothing to train",),
    ),
    forward("a tuple", "self.logits(images), images", "returned a tuple", "logits, a tensor (B, classes)"),
    forward("a dict", "{'logits': self.logits(images)}", "returned a dict"),
    forward("None from forward", "None", "returned None"),
    forward("an array", "self.logits(images).detach().numpy()", "returned a ndarray"),
    forward(
        "a tuple in training",
        "(self.logits(images), images) if self.training else self.logits(images)",
        *("returned a tuple", "in training"),
    ),
    forward(
        "a failure in training",
        "self.logits(images) if not self.training else 1 / 0",
        *("failed at", "ZeroDivisionError"),
        at="return self.logits(images) if",
    ),
    forward("other outputs", "self.head(images.mean((2, 3)))", "(2, 3)", "(2, 2)", init="self.head = nn.Linear(3, 3)"),
    forward("features, no logits", "F.adaptive_avg_pool2d(images, 4)", "(2, 3, 4, 4)"),
    forward("a mean over the batch", "self.logits(images).mean(0, keepdim=True)", "(1, 2)"),
    forward(
        "a fixed batch size",
        "self.head(images.mean((2, 3)).view(2, 3))",
        "shape '[2, 3]' is invalid",
        init="self.head = nn.Linear(3, 2)",
        at="return self.head(images.mean",
    ),
    forward("integers", "self.logits(images).argmax(1, keepdim=True).expand(-1, 2)", "int64"),
    forward("detached logits", "self.logits(images).detach()", "with a gradient", "in training"),
    forward("no_grad", "torch.no_grad()(self.logits)(images)", "with a gradient", "in training"),
    forward("meta logits", "self.logits(images).to('meta')", "on meta", "a tensor on cpu"),
    forward(
        "a tensor on another device",
        "self.logits(images + torch.zeros(1, device='meta'))",
        *("failed at", "meta"),
        at="return self.logits(images +",
    ),
    forward("double", "self.logits(images)", "float64", "model.float()", init="self.double()", at="return self.head(F"),
    forward("half", "self.logits(images)", "float16", "model.float()", init="self.half()", at="return self.head(F"),
    forward("logits that are not finite", "self.logits(images) / 0", "finite"),
    forward(
        "a change in place",
        "(lambda h: h.add_(1) * 0 + h)(self.logits(images).exp().sigmoid())",
        *("in the backward pass", "modified by an inplace operation"),
    ),
    forward("an unused lazy layer", "self.logits(images)", "does not use", init="self.lazy = nn.LazyLinear(classes)"),
]
AUGMENTATIONS = [
    augment("a float image", "image / 255", "float32", "uint8 tensor (3, H, W)"),
    augment("a PIL image", "Image.fromarray(image.permute(1, 2, 0).numpy())", "returned an Image"),
    augment("a numpy image", "image.numpy()", "returned a ndarray"),
    augment("a grey image", "image[:1]", "(1, 16, 16)"),
    augment("None as image", "None", "returned None"),
    augment("a batch of images", "image[None]", "(1, 3, 16, 16)"),
    augment("an image on meta", "image.to('meta')", "on meta"),
    augment("an empty image", "image[:, :0]", "(3, 0, 16)"),
    augment(
        "a float image at times",
        "image / 255 if random.random() < 0.03 else image",
        "float32",
        fields=";epochs=5",
        trains=True,
    ),
    augment(
        "a float image in a loader process",
        "image / 255 if random.random() < 0.1 else image",
        "float32",
        fields=";epochs=3;workers=1",
        trains=True,
    ),
    Mistake(
        "an error in a loader process",
        "def mirror(image):\n    return image if random.random() > 0.1 else image.nothing  # here",
        "augment=mirror;workers=1;epochs=3",
        ("augment mirror failed at", "AttributeError"),
        trains=True,
    ),
    Mistake("an augmentation of a library", "", "augment=v2.Normalize([0.5], [0.5])", ("augment Normalize", "uint8")),
]
LOSSES = [
    loss("a number", "1.0", "returned a float", "tensor of shape ()"),
    loss("None as loss", "None", "returned None"),
    loss("a loss per image", "F.cross_entropy(logits, targets, reduction='none')", "(8,)", "mean over the batch"),
    loss("a loss of shape (1,)", "F.cross_entropy(logits, targets)[None]", "(1,)"),
    loss("a detached loss", "F.cross_entropy(logits, targets).detach()", "with a gradient", "detach()"),
    loss("a loss by item()", "torch.tensor(F.cross_entropy(logits, targets).item())", "with a gradient", "item()"),
    loss(
        "a loss with requires_grad=True",
        "torch.tensor(F.cross_entropy(logits, targets).item(), requires_grad=True)",
        "no gradient",
    ),
    loss("a count", "(logits.argmax(1) == targets).sum()", "int64", "with a gradient"),
    loss("a loss on meta", "F.cross_entropy(logits, targets).to('meta')", "on meta", "a tensor on cpu"),
    Mistake(
        "swapped arguments",
        "def softened(logits, targets):\n    return F.cross_entropy(targets, logits)  # here",
        "loss=softened",
        ("loss softened failed at",),
    ),
    Mistake("a loss of a library", "", "loss=nn.BCELoss()", ("loss BCELoss failed", "target size")),
    Mistake("a loss that is a class", "", "loss=nn.CrossEntropyLoss", ("loss CrossEntropyLoss failed",)),
    Mistake("loss arity", "def soft(logits):  # here\n    pass", "loss=soft", ("loss soft", "1 positional argument")),
    Mistake("weights of other classes", "", "loss=nn.CrossEntropyLoss(torch.ones(3))", ("CrossEntropyLoss", "[3]")),
    Mistake(
        "a loss that cannot be copied",
        "class Held(nn.Module):\n    def __init__(self):  # here\n        super().__init__()\n"
        "        self.file = open(__file__)",
        "loss=Held()",
        ("loss Held", "cannot be copied", "each fold"),
    ),
    Mistake(
        "a loss that fails in validation",
        "def softened(logits, targets):\n    logits.requires_grad or 1 / 0  # here\n"
        "    return F.cross_entropy(logits, targets)",
        "loss=softened",
        ("loss softened failed at", "ZeroDivisionError"),
    ),
    Mistake(
        "a loss that is not finite",
        "def softened(logits, targets):\n    return F.cross_entropy(logits, targets) / 0",
        "loss=softened",
        ("the train loss is",),
        exit_code=1,
        note="is inf before the first step",
        trains=True,
    ),
]
STEPS = [
    optimizer("None as optimizer", "None", "returned None", "torch.optim.Optimizer"),
    optimizer("a class as optimizer", "SGD", "returned a type"),
    optimizer("an optimizer of other parameters", "SGD([torch.zeros(1)], lr)", "has none of them"),
    optimizer("an optimizer that needs a closure", "torch.optim.LBFGS(parameters, lr)", "closure"),
    Mistake("an optimizer without decay", "", "optimizer=torch.optim.LBFGS", ("optimizer LBFGS", "weight_decay")),
    Mistake("optimizer arity", "def steps(p):  # here\n    pass", "optimizer=steps", ("optimizer steps", "'lr'")),
    Mistake(
        "an optimizer whose step raises",
        "class Steps(SGD):\n    def step(self, closure=None):\n        self.nothing  # here",
        "optimizer=Steps",
        ("optimizer Steps failed at", "AttributeError"),
    ),
    scheduler("None as scheduler", "None", "returned None", "step()"),
    scheduler("a number as scheduler", "5", "returned an int"),
    scheduler("a scheduler that ends", "lr_scheduler.OneCycleLR(optimizer, 1, 1)", "total steps is 1", epochs=4),
    Mistake("scheduler arity", "def rates(o):  # here\n    pass", "scheduler=rates", ("scheduler rates", "TypeError")),
    Mistake(
        "a scheduler whose step needs a metric",
        "class Rates:\n    def __init__(self, optimizer, epochs):\n        pass\n"
        "    def step(self, metric):  # here\n        pass",
        "scheduler=Rates",
        ("scheduler Rates.step", "'metric'", "takes no argument"),
    ),
    Mistake(
        "a scheduler whose step raises",
        "class Rates:\n    def __init__(self, optimizer, epochs):\n        pass\n"
        "    def step(self):\n        self.nothing  # here",
        "scheduler=Rates",
        ("scheduler Rates.step failed at", "AttributeError"),
    ),
]
CALLBACKS = [
    Mistake(
        "hook arity",
        "class Mine(Callback):\n    def on_epoch_end(self):  # here\n        pass",
        "callbacks=[Mine()]",
        ("callback Mine.on_epoch_end", "too many positional arguments"),
    ),
    Mistake(
        "a hook that is a number",
        "class Mine(Callback):\n    on_epoch_end = 5",
        "callbacks=[Mine()]",
        ("callback Mine.on_epoch_end", "5 is not a callable"),
    ),
    Mistake(
        "a callback that cannot be copied",
        "class Mine(Callback):\n    def __init__(self):  # here\n        self.file = open(__file__)",
        "callbacks=[Mine()]",
        ("callback Mine", "cannot be copied", "on_fit_start"),
    ),
    Mistake(
        "a callback that fails to be copied",
        "class Mine(Callback):\n    def __deepcopy__(self, memo):\n        raise ValueError('alone')  # here",
        "callbacks=[Mine()]",
        ("callback Mine cannot be copied at", "ValueError: alone"),
    ),
    left("a batch that is None", "on_batch_start", "state.batch = None", "left None as the batch"),
    left("a batch of three", "on_batch_start", "state.batch = (*state.batch, 1)", "left a tuple of 3 as the batch"),
    left("a batch of halves", "on_batch_start", "state.batch = state.batch[0].half(), state.batch[1]", "float16"),
    left("fewer targets", "on_batch_start", "state.batch = state.batch[0], state.batch[1][:3]", "(3,) of int64"),
    left(
        "targets beyond the classes", "on_batch_start", "state.batch = state.batch[0], state.batch[1] + 9", "Target 9"
    ),
    left("a batch on meta", "on_batch_start", "state.batch = tuple(x.to('meta') for x in state.batch)", "on meta"),
    left("an empty history", "on_epoch_end", "state.history.clear()", "left an empty history"),
    left(
        "a tensor in the history", "on_epoch_end", "state.history[-1]['norm'] = torch.ones(3)", "a tensor (3,)", "norm"
    ),
    left("a text in the history", "on_epoch_end", "state.history[-1]['norm'] = 'big'", "left a str", "norm"),
    Mistake(
        "gradients that are not finite",
        callback("on_backward_end", "[p.grad.fill_(float('nan')) for p in state.model.parameters()]"),
        "callbacks=[Mine()]",
        ("the train loss is nan",),
        exit_code=1,
        trains=True,
    ),
]
SPACES = [
    space("None as space", "None", "returned None", "a dict of fields"),
    space("a list as space", "[1]", "returned a list"),
    space("an unknown field", "{'rate': trial.suggest_float('rate', 0, 1)}", "no field 'rate'"),
    space("a wrong value", "{'lr': -trial.suggest_float('lr', 0.1, 1)}", "lr = -"),
    space("a shared field", "{'folds': trial.suggest_int('folds', 2, 3)}", "folds"),
    space("a space that asks for nothing", "{}", "it calls no trial.suggest"),
    Mistake(
        "space arity", "def search_space():  # here\n    pass", "", ("search_space", "TypeError"), command="search"
    ),
    Mistake(
        "low above high",
        "def search_space(trial):  # here\n    return {'lr': trial.suggest_float('lr', 1, 0.1)}",
        "",
        ("search_space", "low <= high"),
        command="search",
    ),
    Mistake("a number as space", "search_space = 5", "", ("search_space", "is not a function"), command="search"),
    Mistake(
        "a space of a model that fails",
        "def net(classes):\n    return 1 / 0  # here\n"
        "def search_space(trial):\n    return {'model': [net, 'small_cnn'][trial.suggest_int('m', 0, 1)]}",
        "",
        ("search_space", "model net failed at"),
        command="search",
    ),
]
ERRORS = [*RAISED, *MODELS, *AUGMENTATIONS, *LOSSES, *STEPS, *CALLBACKS, *SPACES]
PASSING = [
    Mistake("a softmax", module("self.logits(images).softmax(1)"), "model=Net", note="looks like probabilities"),
    Mistake("a sigmoid", module("self.logits(images).sigmoid()"), "model=Net", note="looks like probabilities"),
    Mistake("a log-softmax", module("self.logits(images).log_softmax(1)"), "model=Net"),
    Mistake(
        "a model that computes in double",
        module("self.logits(images.double())", "self.double()"),
        "model=Net",
        note="computes in float64",
    ),
    Mistake("a lazy layer", module("self.lazy(images.flatten(1))", "self.lazy = nn.LazyLinear(classes)"), "model=Net"),
    Mistake("an image of another size", "def mirror(image):\n    return image[:, :5]", "augment=mirror"),
    Mistake("double loss", "def soft(x, y):\n    return F.cross_entropy(x.double(), y)", "loss=soft"),
    Mistake("half loss", "def soft(x, y):\n    return F.cross_entropy(x, y).half()", "loss=soft"),
    Mistake("plateau", "", "scheduler=lr_scheduler.ReduceLROnPlateau".replace("=", "=lambda o, e: ") + "(o)"),
    Mistake(
        "an optimizer of some parameters",
        "def steps(parameters, lr, weight_decay):\n    return SGD(parameters[-2:], lr)",
        "optimizer=steps",
        note="optimizer steps changes 2 of the 14 weights",
    ),
    Mistake(
        "a scheduler of another optimizer",
        "def rates(optimizer, epochs):\n    return lr_scheduler.StepLR(SGD([torch.zeros(1)], 0.1), 1)",
        "scheduler=rates",
        note="scheduler rates belongs to another optimizer",
    ),
]
