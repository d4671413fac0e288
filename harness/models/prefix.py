"""The frozen prefix of a model as a module of its own, and the model as what comes after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

# layers that do the same in training and in eval mode, and have nothing to train
PLAIN = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity),
)
# in the name of a function that may do something else in training
MODAL = ("dropout", "rand", "bernoulli", "stochastic", "batch_norm", "multinomial", "normal_", "uniform_", "noise")


class CannotCutError(Exception):
    """No frozen prefix of the model can be run by itself; the message says why."""


@dataclass(frozen=True)
class Cut:
    """A model in two."""

    prefix: fx.GraphModule  # images -> features; it shares the layers of the model
    shape: tuple[int, ...]  # of the features of one image
    forward: Callable[[nn.Module, Tensor], Any]  # (model, features) -> logits

    def apply(self, model: nn.Module) -> None:
        """From now on the model takes features. All its parts, and its state dict, stay what they are."""
        kind = type(model)
        model.__class__ = type(kind.__name__, (kind,), {"forward": self.forward, "__module__": kind.__module__})


def cut(model: nn.Module, image_size: int, shape: tuple[int, ...] | None = None) -> Cut:
    """Cuts `model` after the last step of its forward pass up to which all is frozen, and nothing is random.

    It is left in eval mode. Raises CannotCutError where there is no such step, where the forward pass cannot be
    followed (torch.fx), or where two images show that the parts together are not the whole; where the `shape` of one
    image's features is known, that has been shown before.
    """
    graphs = [_follow(model.train()), _follow(model.eval())]
    nodes = list(graphs[0].nodes)
    last = _last_cut(nodes, _moving(model, nodes))
    (prefix, in_training), (same, in_eval) = (_split(model, graph, last) for graph in graphs)
    if str(prefix.graph) != str(same.graph):
        raise CannotCutError("its frozen part takes another way in training than in validation")

    def forward(self: nn.Module, features: Tensor) -> Any:
        return (in_training if self.training else in_eval)(self, features)

    return Cut(prefix, shape or _require_whole(model, prefix, forward, image_size), forward)


def digest(prefix: fx.GraphModule) -> str:
    """SHA-256 of all that the prefix computes from: its steps, the settings of its layers, and their weights."""
    found = hashlib.sha256(prefix.code.encode())
    for name, module in prefix.named_modules():
        found.update(f"{name}: {type(module).__qualname__}({module.extra_repr()})\n".encode())
    for name, value in prefix.state_dict().items():
        found.update(f"{name}: {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _split(model: nn.Module, graph: fx.Graph, last: int) -> tuple[fx.GraphModule, Callable[..., Any]]:
    """(the first steps up to the one at `last`, the rest as a forward of `model` that takes the features)."""
    nodes, prefix, rest = list(graph.nodes), fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[: last + 1]:
        copies[node] = prefix.node_copy(node, copies.__getitem__)
    prefix.output(copies[nodes[last]])
    copies = {nodes[last]: rest.placeholder("features")}
    for place, node in enumerate(nodes):
        if place > last or node.op == "get_attr":
            copies[node] = rest.node_copy(node, copies.__getitem__)
    return _module(model, prefix), type(_module(model, rest)).forward


def _module(model: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """The graph with the layers of `model`, less what it does not need."""
    made = fx.GraphModule(model, graph)
    made.graph.eliminate_dead_code()
    made.recompile()
    made.delete_all_unused_submodules()
    return made


def _follow(model: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(model)
    except Exception as error:  # the tracer meets any code there is
        first = (str(error).splitlines() or [""])[0]
        raise CannotCutError(f"its forward pass cannot be followed: {type(error).__name__}: {first}"[:300]) from error


def _moving(model: nn.Module, nodes: list[fx.Node]) -> set[fx.Node]:
    """The steps whose output is no function of the image alone."""
    model.train()
    found: set[fx.Node] = set()
    for node in nodes:
        if not _is_fixed(model, node) or found.intersection(node.all_input_nodes):
            found.add(node)
    model.eval()
    return found


def _is_fixed(model: nn.Module, node: fx.Node) -> bool:
    """Whether a step of `model`, which is in training mode, does the same each time."""
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if any(parameter.requires_grad for parameter in module.parameters()):
            return False
        return isinstance(module, PLAIN) or not any(part.training for part in module.modules())
    if node.op == "get_attr":
        home, _, name = str(node.target).rpartition(".")
        owner = model.get_submodule(home)
        return not any(value.requires_grad for value in (getattr(owner, name), *owner.parameters(recurse=False)))
    called = str(getattr(node.target, "__name__", node.target)).lower()
    if node.op in ("call_function", "call_method") and any(word in called for word in MODAL):
        return node.kwargs.get("training", node.args[-1] if node.args else None) is False
    return True


def _last_cut(nodes: list[fx.Node], moving: set[fx.Node]) -> int:
    """The place of the last fixed step that is the only one before it on which what comes after depends."""
    places = {node: place for place, node in enumerate(nodes)}
    found, furthest = 0, 0  # `furthest`: up to here something before is still needed
    for place, node in enumerate(nodes[:-1]):
        users = [places[user] for user in node.users]
        computes = node.op in ("call_module", "call_function", "call_method")
        if computes and users and node not in moving and furthest <= place:
            found = place
        if node.op != "get_attr":
            furthest = max([furthest, *users])
    if not found:
        raise CannotCutError("nothing that is frozen comes before all that is trained")
    return found


def _require_whole(
    model: nn.Module, prefix: nn.Module, forward: Callable[..., Any], image_size: int
) -> tuple[int, ...]:
    """The shape of one image's features. Raises CannotCutError where the parts give something else than the whole."""
    images = torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features: Any = prefix(images)
        if not isinstance(features, Tensor) or len(features) != 2 or not features.is_floating_point():
            raise CannotCutError("what its frozen part gives is no tensor with a row for each image")
        expected, logits = model(images), forward(model, features)
        alone = prefix(images[:1])
    if not torch.allclose(alone, features[:1], rtol=1e-4, atol=1e-5):
        raise CannotCutError(
            "what its frozen part makes of an image depends on the other images of a batch, or on chance"
        )
    if not torch.allclose(expected, logits, rtol=1e-4, atol=1e-5):
        raise CannotCutError("its parts, run one after the other, give something else than the whole")
    return tuple(features.shape[1:])
