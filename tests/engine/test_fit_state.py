"""A fit that is interrupted after any batch resumes bit-identically, or reports what it could not save."""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from harness.engine.callback import Stateless
from harness.engine.callbacks import (
    EarlyStopping,
    EpochLog,
    GradientClipping,
    KeptPredictions,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.fit_file import read_fit, write_fit
from harness.engine.fit_start import FitStart
from harness.engine.fit_state import fit_state
from harness.engine.trainer import Callback, State, Trainer
from harness.engine.watched import watched
from harness.errors import ModelError
from tests.toy import examples

EPOCHS = 3
Callbacks = Callable[[Path], list[Callback]]


class CutError(Exception):
    """Interrupts the fit."""


class CutAt(Stateless):
    """Saves the state after `count` ends of a batch or an epoch, and interrupts the fit."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count

    def on_fit_start(self, state: State) -> None:
        self.start = FitStart(state)

    def on_batch_end(self, state: State) -> None:
        self.count -= 1
        if self.count == 0:
            write_fit(self.path, {"fit": fit_state(state, self.start)})
            raise CutError

    on_epoch_end = on_batch_end


class Net(nn.Module):
    """A net with dropout, batch normalisation, a buffer that is not in the state dict, and a counter in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 2)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.calls = [0]
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
            self.calls[0] += 1
            self.scale += 0.01
        x = self.norm(self.first(x)).relu()
        return self.last(nn.functional.dropout(x, 0.5, self.training)) * self.scale + 0.01 * self.seen + self.calls[0]


class WeighedLoss(nn.Module):
    """A loss with a parameter, a buffer and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.zeros(()))
        self.factor = 1.0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.training:
            self.count += 1
            self.factor *= 0.99
        return nn.functional.cross_entropy(logits * self.weight, targets) * self.factor / (1 + 0.1 * self.count)


class CountingLoss:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        return nn.functional.cross_entropy(logits, targets) * (1 + 0.01 * self.calls)


class Mixer:
    """An object with its own generator that is called as a function."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.generator.random()


class Noise(Callback):
    """Draws from all global random generators and from its own."""

    def on_fit_start(self, state: State) -> None:
        self.mixer = Mixer()
        self.own = torch.Generator().manual_seed(1)
        self.python = random.Random(2)

    def on_batch_start(self, state: State) -> None:
        if state.phase == "train":
            inputs, targets = state.batch
            drawn = random.random() + np.random.rand() + self.python.random()
            inputs = self.mixer(inputs) + torch.rand(inputs.shape) + torch.rand((), generator=self.own) + drawn
            state.batch = inputs, targets


class Averages(Callback):
    """Averages the weights, with own code and with torch. Puts the average into the model for the validation."""

    def on_fit_start(self, state: State) -> None:
        self.average = AveragedModel(state.model)
        self.weights = {name: value.clone() for name, value in state.model.state_dict().items()}
        self.parameters = list(state.model.parameters())
        self.raw: dict[str, Tensor] = {}

    def on_backward_end(self, state: State) -> None:
        nn.utils.clip_grad_norm_(self.parameters, 0.5)

    def on_batch_start(self, state: State) -> None:
        if state.phase == "valid" and not self.raw:
            self.raw = {name: value.clone() for name, value in state.model.state_dict().items()}
            state.model.load_state_dict(self.weights)

    def on_batch_end(self, state: State) -> None:
        if state.phase == "train":
            self.average.update_parameters(state.model)
            for name, value in state.model.state_dict().items():
                self.weights[name] = (self.weights[name] + value) / 2 if value.is_floating_point() else value.clone()

    def on_epoch_end(self, state: State) -> None:
        state.model.load_state_dict(self.raw)
        self.raw = {}
        if state.epoch == state.epochs:
            state.model.load_state_dict(self.average.module.state_dict())


class Unfreezing(Callback):
    """Writes to frozen weights in the first epoch, and trains their layer from the second one."""

    def on_fit_start(self, state: State) -> None:
        layer = state.model.get_submodule("first").requires_grad_(False)
        frozen = {id(parameter) for parameter in layer.parameters()}
        (group,) = state.optimizer.param_groups
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in frozen]

    def on_epoch_start(self, state: State) -> None:
        layer = state.model.get_submodule("first")
        if state.epoch == 2:
            layer.requires_grad_(True)
            state.optimizer.add_param_group({"params": list(layer.parameters()), "lr": 0.01})
        elif state.epoch == 1:
            for parameter in layer.parameters():
                parameter.data.mul_(0.9)


class Averaged(Callback):
    """Computes the learning rate from a 32-bit numpy number and containers of special classes."""

    def on_fit_start(self, state: State) -> None:
        self.mean = np.float32(0)
        self.seen: dict[int, int] = defaultdict(int)
        self.last: deque[float] = deque(maxlen=2)
        self.counts = Counter[str]()

    def on_batch_end(self, state: State) -> None:
        assert state.loss is not None
        self.mean = self.mean * 0.9 + np.float32(state.loss.item())
        self.seen[state.step] += 1
        self.counts[state.phase] += 1
        self.last.append(float(self.mean) + len(self.seen) + max(self.counts.values()))
        for group in state.optimizer.param_groups:
            group["lr"] = 0.01 + 0.001 * sum(self.last) / (1 + len(self.last))


class StopInEpoch(Callback):
    def on_batch_end(self, state: State) -> None:
        if state.step == 4:
            state.stop("enough")


def schedule(make: Any, every: Any = "batch", monitor: str = "train_loss") -> LearningRateSchedule:
    return LearningRateSchedule(make, every, monitor)


ONE_CYCLE = schedule(lambda optimizer, total: OneCycleLR(optimizer, 0.1, total_steps=total))
CASES: dict[str, Callbacks] = {
    "nothing": lambda folder: [],
    "all of the package": lambda folder: [
        EpochLog(folder / "log.jsonl"),
        GradientClipping(0.1),
        TerminateOnNaN(),
        KeptPredictions("valid_loss"),
        ModelCheckpoint(folder / "model.pt", "valid_loss"),
        ProgressBar("law"),
        EarlyStopping("valid_loss", patience=1, min_delta=9.0),
    ],
    "onecycle": lambda folder: [ONE_CYCLE],
    "cosine": lambda folder: [schedule(CosineAnnealingLR)],
    "plateau": lambda folder: [schedule(lambda o, _: ReduceLROnPlateau(o, patience=0, threshold=9), "epoch")],
    "in sequence": lambda folder: [
        schedule(lambda o, n: SequentialLR(o, [LambdaLR(o, lambda s: s / 3), StepLR(o, 2, 0.5)], [3]))
    ],
    "noise": lambda folder: [watched(Noise())],
    "averages": lambda folder: [Averages()],
    "numbers and containers": lambda folder: [Averaged()],
    "milestones": lambda folder: [schedule(lambda o, _: MultiStepLR(o, [2, 5]))],
    "unfreezing": lambda folder: [Unfreezing()],
    "stop in an epoch": lambda folder: [StopInEpoch()],
}


def train(
    folder: Path,
    callbacks: Callbacks,
    *,
    cut: int = 0,
    resume: Any = None,
    loss: Callable[[], Any] = lambda: nn.functional.cross_entropy,
    optimizer: Callable[..., Optimizer] = Adam,
    loader: Callable[[], Iterable[Any]] = lambda: examples(24, 8),
) -> dict[str, Any]:
    """Returns the outcome of a fit that is interrupted after `cut` events (0: never), or that resumes."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(0 if resume is None else 99)  # a resumed fit must not depend on the seed at its start
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = Net()
    made, extra = loss(), [CutAt(folder / "unfinished.pt", cut)]
    modules = [model, *([made] if isinstance(made, nn.Module) else [])]
    given = callbacks(folder)
    trainer = Trainer(made, [*given, *extra], device="cpu", precision="fp32")
    parameters = [parameter for module in modules for parameter in module.parameters()]
    state = trainer.fit(model, optimizer(parameters, lr=0.05), loader(), examples(10, 4), EPOCHS, resume=resume)
    kept = next((each for each in given if isinstance(each, KeptPredictions)), None)
    file = folder / "model.pt"
    return {
        "weights": [value for module in modules for value in module.state_dict().values()],
        "history": [{n: v for n, v in row.items() if "seconds" not in n} for row in state.history],
        "stop": (state.stop_reason, state.epoch, state.step),
        "kept": None if kept is None or kept.logits is None else (kept.epoch, kept.logits),
        "file": torch.load(file)["model"] if file.exists() else None,
        "log": [line.partition('"step"')[2] for line in _lines(folder / "log.jsonl")],
    }


def _lines(path: Path) -> list[str]:
    """Returns the rows of a log without times."""
    text = path.read_text() if path.exists() else ""
    return [line.partition('"train_seconds"')[0] for line in text.splitlines()]


def cut_and_resume(folder: Path, callbacks: Callbacks, cut: int, **options: Any) -> tuple[dict[str, Any], Any] | None:
    """Returns the outcome of a fit that was interrupted once, and its saved state; None if it ended earlier."""
    (folder / "log.jsonl").unlink(missing_ok=True)
    try:
        train(folder, callbacks, cut=cut, **options)
    except CutError:
        saved = read_fit(folder / "unfinished.pt")["fit"]
        return train(folder, callbacks, resume=saved, **options), saved
    return None


def require_same(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            require_same(value, other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            require_same(first, second)
    else:
        assert one == other


def require_same_bits(case: str, cuts: Iterable[int], folder: Path) -> int:
    """Interrupts a fit at each of `cuts`; requires the uninterrupted outcome. Returns the number of interruptions."""
    whole, count = train(folder, CASES[case]), 0
    for cut in cuts:
        outcome = cut_and_resume(folder, CASES[case], cut)
        if outcome is None:
            break
        require_same(outcome[0], whole)
        assert outcome[1]["unsaved"] == []
        count += 1
    return count


@pytest.mark.parametrize("case", CASES)
def test_resume_is_bit_identical(case: str, tmp_path: Path) -> None:
    in_training, in_validation, between = (2, 10), (5, 12), (7,)
    assert require_same_bits(case, (*in_training, *in_validation, *between), tmp_path) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_resume_after_any_batch_is_bit_identical(case: str, tmp_path: Path) -> None:
    assert require_same_bits(case, range(1, 99), tmp_path) >= 12


@pytest.mark.parametrize("loss", [WeighedLoss, CountingLoss])
@pytest.mark.parametrize("cut", [2, 5, 10])
def test_resume_restores_the_state_of_a_loss(loss: Any, cut: int, tmp_path: Path) -> None:
    outcome = cut_and_resume(tmp_path, CASES["nothing"], cut, loss=loss)
    assert outcome is not None
    require_same(outcome[0], train(tmp_path, CASES["nothing"], loss=loss))


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("cut", [2, 8, 13])
def test_resume_restores_the_order_of_a_data_loader(own: bool, cut: int, tmp_path: Path) -> None:
    def loader() -> Iterable[Any]:
        points = torch.arange(48.0).view(12, 4) / 48
        generator = torch.Generator().manual_seed(9) if own else None
        return DataLoader(TensorDataset(points, torch.arange(12) % 2), batch_size=4, shuffle=True, generator=generator)

    outcome = cut_and_resume(tmp_path, CASES["nothing"], cut, loader=loader)
    assert outcome is not None
    require_same(outcome[0], train(tmp_path, CASES["nothing"], loader=loader))


class LateAverage(Callback):
    """Makes an object during the fit, whose state cannot be restored."""

    def on_fit_start(self, state: State) -> None:
        self.average: Any = None

    def on_epoch_end(self, state: State) -> None:
        self.average = self.average or AveragedModel(state.model)


class Phase(Enum):
    WARM = 1
    MAIN = 2


class Phased(Callback):
    """Changes an attribute that is not a plain value."""

    def on_fit_start(self, state: State) -> None:
        self.phase = Phase.WARM

    def on_epoch_end(self, state: State) -> None:
        self.phase = Phase.MAIN


class Best(NamedTuple):
    epoch: int


class Named(Callback):
    def on_epoch_end(self, state: State) -> None:
        self.best = Best(state.epoch)


class Mixed(Callback):
    """A container that holds the model and a number."""

    def on_fit_start(self, state: State) -> None:
        self.kept: dict[str, Any] = {"model": state.model, "epoch": 0}


class Hooked(Callback):
    def on_epoch_start(self, state: State) -> None:
        self.hook = state.model.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize(
    ("callback", "says"),
    [
        (Phased, "Phased.phase (changed during the fit)"),
        (Named, "Named.best (Best)"),
        (Mixed, "Mixed.kept (holds the model or a part of it, and other values)"),
        (LateAverage, "LateAverage.average (made during the fit)"),
        (Hooked, "Hooked.hook (RemovableHandle)"),
    ],
)
def test_fit_state_names_attributes_that_cannot_be_saved(callback: Any, says: str, tmp_path: Path) -> None:
    outcome = cut_and_resume(tmp_path, lambda _: [callback()], 7)
    assert outcome is not None
    assert outcome[1]["unsaved"] == [says]


def test_resume_uses_an_edited_setting(tmp_path: Path) -> None:
    with pytest.raises(CutError):
        train(tmp_path, lambda _: [GradientClipping(1.0)], cut=3)
    clipping = GradientClipping(0.1)
    train(tmp_path, lambda _: [clipping], resume=read_fit(tmp_path / "unfinished.pt")["fit"])
    assert clipping.max_norm == 0.1


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        ({"optimizer": Adam}, {"optimizer": AdamW}, "the saved optimizer: Adam; the optimizer now: AdamW"),
        ({"optimizer": Adam}, {"optimizer": SGD}, "the saved optimizer: Adam; the optimizer now: SGD"),
        ({}, {"loader": lambda: examples(40, 8)}, "3 of train, 3 of valid; the batches now: 5 of train, 3 of valid"),
        (
            {},
            {"callbacks": lambda _: [TerminateOnNaN()]},
            "the saved callbacks: none; the callbacks now: TerminateOnNaN",
        ),
        ({}, {"loss": WeighedLoss}, "weights"),
    ],
)
def test_resume_refuses_a_different_fit(then: dict[str, Any], now: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(CutError):
        train(tmp_path, cut=2, **{"callbacks": CASES["nothing"], **then})
    saved = read_fit(tmp_path / "unfinished.pt")["fit"]
    with pytest.raises(ModelError, match=why):
        train(tmp_path, resume=saved, **{"callbacks": CASES["nothing"], **now})


def test_fit_state_omits_frozen_weights_and_resume_checks_them(tmp_path: Path) -> None:
    class Frozen(Stateless):
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def on_fit_start(self, state: State) -> None:
            layer = state.model.get_submodule("first").requires_grad_(False)
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.mul_(self.factor)

    with pytest.raises(CutError):
        train(tmp_path, lambda _: [Frozen(1.0)], cut=4)
    saved = read_fit(tmp_path / "unfinished.pt")["fit"]
    assert [*saved["frozen"]] == ["model.first.weight", "model.first.bias"]
    assert not {"first.weight", "first.bias"} & {*saved["weights"]["model"]}
    with pytest.raises(ModelError, match=r"the frozen weights of model\.first\.weight differ from the saved ones"):
        train(tmp_path, lambda _: [Frozen(2.0)], resume=saved)


def test_resume_refuses_a_schedule_of_another_length(tmp_path: Path) -> None:
    with pytest.raises(CutError):
        train(tmp_path, CASES["cosine"], cut=2)
    saved = read_fit(tmp_path / "unfinished.pt")["fit"]
    trainer = Trainer(callbacks=[schedule(CosineAnnealingLR)], device="cpu", precision="fp32")
    model = Net()
    with pytest.raises(ModelError, match="the saved schedule has 9 steps, and this one has 30"):
        trainer.fit(model, Adam(model.parameters()), examples(24, 8), examples(10, 4), 10, resume=saved)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other"])
def test_read_fit_refuses_a_damaged_file(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "unfinished.pt"
    write_fit(path, {"fit": {"weights": torch.zeros(1000)}})
    content = bytearray(path.read_bytes())
    content[content.find(bytes(3000)) + 1500] ^= 1
    made = {"flipped": bytes(content), "cut": bytes(content[: len(content) // 2]), "empty": b"", "other": b"text"}
    path.write_bytes(made[damage])
    with pytest.raises(ModelError, match=str(path)):
        read_fit(path)
