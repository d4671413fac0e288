"""Cuts a model in two: the frozen prefix as a separate module, and the rest of the model."""

from __future__ import annotations

import contextlib
import copy
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from harness.data.transforms import seeded
from harness.models.code_identity import UnknownCodeError
from harness.models.digest import code_of
from harness.models.freezing import is_frozen
from harness.util.user_code import is_users

# layers that do the same in training and in eval mode, and have no parameters
PLAIN = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity),
)
# words in the names of functions that may behave differently in training
MODAL = ("dropout", "rand", "bernoulli", "stochastic", "batch_norm", "multinomial", "normal_", "uniform_", "noise")


class CannotCutError(Exception):
    """No frozen prefix of the model can run separately; the message says why."""


@dataclass(frozen=True)
class Cut:
    """A model that is cut in two."""

    prefix: fx.GraphModule  # images -> features; it shares the layers of the model
    shape: tuple[int, ...]  # of one image's features
    forward: Callable[[nn.Module, Tensor], Any]  # (model, features) -> logits

    def apply(self, model: nn.Module) -> None:
        """Makes the model accept features. Its parts and its state dict do not change.

        If a callback calls it on images, it still gives the same result as before.
        """
        kind, after, shape = type(model), self.forward, self.shape

        def forward(self: nn.Module, inputs: Tensor) -> Any:
            return after(self, inputs) if inputs.shape[1:] == shape else kind.forward(self, inputs)

        model.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def cut(model: nn.Module, image: tuple[int, int, int], shape: tuple[int, ...] | None = None) -> Cut:
    """Cuts `model` after the last step of its forward pass before which everything is frozen and nothing is random.

    The model takes images of the shape `image`, (C, H, W), and is left in eval mode. `shape` is that of one image's
    features, if an earlier cut has already tested that the two parts equal the whole.

    Raises:
        CannotCutError: There is no such step, torch.fx cannot trace the forward pass, or the two parts give a different
            result than the whole model.
    """
    everywhere = nn.modules.module  # has the hooks for all modules of the process
    shared = everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks
    if shared or any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        raise CannotCutError("a hook may change the output of a layer")
    try:
        return _cut(model, image, shape, fx.Tracer)
    except CannotCutError as error:
        with contextlib.suppress(CannotCutError):
            return _cut(model, image, shape, _FrozenWhole)
        raise error


def _cut(model: nn.Module, image: tuple[int, int, int], shape: tuple[int, ...] | None, tracer: type[fx.Tracer]) -> Cut:
    tracers = tracer(), tracer()
    graphs = []
    for training, each in zip((True, False), tracers, strict=True):
        model.train(training)
        graphs.append(_follow(model, each))
    _keep_constants(model, *(each.root for each in tracers))
    nodes = list(graphs[0].nodes)
    last = _last_cut(nodes, _moving(model, nodes))
    (prefix, in_training), (same, in_eval) = (_split(model, graph, last) for graph in graphs)
    if str(prefix.graph) != str(same.graph):
        raise CannotCutError("its frozen part takes different steps in training and in validation")
    try:
        code_of(prefix)
    except UnknownCodeError as error:
        raise CannotCutError(f"it is not known whether its code has changed: {error}") from error

    def forward(self: nn.Module, features: Tensor) -> Any:
        return (in_training if self.training else in_eval)(self, features)

    return Cut(prefix, shape or _require_whole(model, prefix, forward, image), forward)


def _split(model: nn.Module, graph: fx.Graph, last: int) -> tuple[fx.GraphModule, Callable[..., Any]]:
    """Returns (the steps up to the one at `last`, the rest as a forward of `model` that takes the features)."""
    nodes, prefix, rest = list(graph.nodes), fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[: last + 1]:
        copies[node] = prefix.node_copy(node, copies.__getitem__)
    prefix.output(copies[nodes[last]])
    copies = {nodes[last]: rest.placeholder("features")}
    for position, node in enumerate(nodes):
        if position > last or node.op == "get_attr":
            copies[node] = rest.node_copy(node, copies.__getitem__)
    return _module(model, prefix), type(_module(model, rest)).forward


def _module(model: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Returns the graph as a module with the layers of `model`, without unused ones."""
    for node in graph.nodes:
        name = str(getattr(node.target, "__name__", node.target))
        in_place = (name.endswith("_") and not name.endswith("__")) or node.kwargs.get("inplace") is True
        if node.op in ("call_method", "call_function") and in_place and not node.users:
            raise CannotCutError(f"its forward pass changes a tensor in place that it does not return ({name})")
    module = fx.GraphModule(model, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    module.delete_all_unused_submodules()
    return module


def _follow(model: nn.Module, tracer: Any) -> fx.Graph:
    """Traces the forward pass. Raises CannotCutError if tracing draws random numbers or changes the model.

    It traces a copy, because some models store what they compute, and would then store symbols.
    """
    try:
        traced = copy.deepcopy(model)
    except Exception as error:  # copying runs the user's code
        raise CannotCutError(f"the model cannot be copied: {type(error).__name__}: {error}"[:300]) from error
    before = [value._version for value in traced.buffers()]
    states = _random_states()
    try:
        graph: fx.Graph = tracer.trace(traced)
    except Exception as error:  # the tracer runs arbitrary code
        first = (str(error).splitlines() or [""])[0]
        raise CannotCutError(f"its forward pass cannot be traced: {type(error).__name__}: {first}"[:300]) from error
    if before != [value._version for value in traced.buffers()]:
        raise CannotCutError("its forward pass changes its own buffers")
    if _random_states() != states:
        raise CannotCutError("its forward pass draws random numbers outside of its layers")
    return graph


def _keep_constants(model: nn.Module, *followed: nn.Module) -> None:
    """Stores tensors that the forward pass creates from numbers in the model. Raises CannotCutError if they vary."""
    one, other = ({n: v for n, v in vars(root).items() if n.startswith("_tensor_constant")} for root in followed)
    if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
        raise CannotCutError("its forward pass creates different tensors in training and in validation")
    for name, value in one.items():
        setattr(model, name, value)


class _FrozenWhole(fx.Tracer):
    """Treats a frozen module of a library, or one with buffers, as one step, so its inside need not be traced.

    A user's module is traced, because its code is part of the features' key in the cache.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if super().is_leaf_module(m, module_qualified_name):
            return True
        file = getattr(sys.modules.get(type(m).__module__), "__file__", None)
        return (is_frozen(m) or bool(m._buffers)) and file is not None and not is_users(file)


def _random_states() -> tuple[bytes, ...]:
    """Returns the states of the global random generators."""
    states = (torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), repr(random.getstate()))
    return tuple(state if isinstance(state, bytes) else state.encode() for state in states)


def _moving(model: nn.Module, nodes: list[fx.Node]) -> set[fx.Node]:
    """Returns the steps whose output does not depend only on the image."""
    model.train()
    moving: set[fx.Node] = set()
    for node in nodes:
        if not _is_fixed(model, node) or moving.intersection(node.all_input_nodes):
            moving.add(node)
    model.eval()
    return moving


def _is_fixed(model: nn.Module, node: fx.Node) -> bool:
    """Returns whether a step of `model`, which is in training mode, is always the same function."""
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
    """Returns the position of the last fixed step that is the only one on which all later steps depend."""
    places = {node: position for position, node in enumerate(nodes)}
    last, furthest = 0, 0  # `furthest`: an earlier output is still needed up to this position
    for position, node in enumerate(nodes[:-1]):
        users = [places[user] for user in node.users]
        computes = node.op in ("call_module", "call_function", "call_method")
        if computes and users and node not in moving and furthest <= position:
            last = position
        if node.op != "get_attr":
            furthest = max([furthest, *users])
    if not last:
        raise CannotCutError("nothing frozen comes before all trained layers")
    return last


def _require_whole(
    model: nn.Module, prefix: nn.Module, forward: Callable[..., Any], image: tuple[int, int, int]
) -> tuple[int, ...]:
    """Returns the shape of one image's features. Raises CannotCutError if the two parts do not equal the whole."""
    images = torch.randn(2, *image, generator=torch.Generator().manual_seed(0))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    with torch.no_grad():
        features: Any = prefix(images)
        if not isinstance(features, Tensor) or len(features) != 2 or not features.is_floating_point():
            raise CannotCutError("the output of its frozen part is not a tensor with one row per image")
        if not _near(prefix(images[:1]), features[:1]):
            raise CannotCutError("the output of its frozen part for an image depends on other images, or is random")
        try:
            for training in (False, True):
                outputs = []
                for cut_off in (False, True):
                    model.train(training)
                    with seeded(0):  # the same random numbers for both, and the old state is restored
                        logits = forward(model, features.clone()) if cut_off else model(images)
                    outputs.append([logits, *(value.clone() for value in model.buffers())])
                    for name, value in model.named_buffers():
                        value.copy_(buffers[name])
                if not all(_near(one, other) for one, other in zip(*outputs, strict=True)):
                    raise CannotCutError("its two parts together give a different result than the whole")
        except (ValueError, RuntimeError) as error:  # for example BatchNorm with two images of one pixel
            raise CannotCutError(f"its forward pass fails on two images in training: {error}"[:300]) from error
        finally:
            model.eval()
    return tuple(features.shape[1:])


def _near(one: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors are equal up to rounding. The tolerance grows with the largest value."""
    scale = float(other.abs().max()) if other.numel() else 1.0
    return torch.allclose(one.float(), other.float(), rtol=1e-4, atol=1e-5 * max(1.0, scale))
