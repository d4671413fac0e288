"""Freezes the first part of a model, so that its output depends only on the image."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from harness.data.transforms import seeded
from harness.errors import ModelError, nearest
from harness.models.build import head_names, is_head, pass_blank
from harness.models.torchvision_models import Shape

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def freeze(model: nn.Module, until: bool | str, shape: Shape | None = None) -> list[str]:
    """Freezes everything before the head (True), everything up to the end of the block `until`, or nothing (False).

    The order of definition decides what comes first. A frozen parameter gets no gradient. A frozen module stays in eval
    mode, even after `model.train()`. So the running statistics of its BatchNorm do not change, and its dropout is off.

    Args:
        model: Any classifier.
        until: The end of the frozen part.
        shape: Of an image, (C, H, W). With it and True, dropout that runs only after the last frozen weight belongs to
            the head, and stays active in training.

    Returns:
        The names of the modules that are completely frozen.

    Raises:
        ModelError: There is no such block, or nothing would be left to train.
    """
    if until is False:
        return []
    prefix = _modules_until(model, until)
    if until is True and shape is not None:
        active = _dropout_after(model, prefix, shape)
        prefix = [name for name in prefix if name not in active]
    own = {name: list(model.get_submodule(name).parameters(recurse=False)) for name in prefix}
    frozen = {id(parameter) for parameters in own.values() for parameter in parameters}
    if all(id(parameter) in frozen for parameter in model.parameters()):
        raise ModelError(
            f"freeze={until!r} leaves nothing to train",
            f"{until} is the last block with parameters",
            "-s freeze=true for all but the head",
        )
    for parameters in own.values():
        for parameter in parameters:
            parameter.requires_grad_(False)
    # a container that also holds a later layer must still be able to set that layer's mode
    whole = [name for name in prefix if name and {*_names(model.get_submodule(name), name)} <= {*prefix}]
    for name in whole:
        module = model.get_submodule(name)
        module.eval()
        module.__class__ = _frozen_class(type(module))  # type: ignore[arg-type]
    return whole


def is_frozen(module: nn.Module) -> bool:
    """Returns whether `freeze` froze a module and everything in it."""
    return all(map(is_frozen_alone, module.modules()))


def is_frozen_alone(module: nn.Module) -> bool:
    """Returns whether `freeze` froze a module, ignoring the modules in it."""
    return type(module) is _frozen_class(type(module).__base__)


def silenced_dropout(model: nn.Module) -> list[str]:
    """Returns the names of the dropout layers that `freeze` switched off."""
    return [name for name, module in model.named_modules() if _is_dropout(module) and is_frozen(module)]


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Returns the numbers of (trainable, frozen) parameters."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable, sum(p.numel() for p in model.parameters()) - trainable


def blocks(model: nn.Module) -> list[str]:
    """Returns the usual names for `freeze`: the layers and blocks of the first two levels, without the head."""
    heads = head_names(model)
    names = [name for name, _ in model.named_modules() if name and name.count(".") < 2]
    names = [name for name in names if not any(is_head(head, [name]) for head in heads)]
    return [name for name in names if any(True for _ in model.get_submodule(name).parameters())]


def _modules_until(model: nn.Module, until: bool | str) -> list[str]:
    """Returns the names, in order of definition, of all modules before the head, or up to the end of `until`."""
    names = _names(model)
    if until is True:
        stop = min(names.index(head) for head in head_names(model))
    elif until in names and until:
        within = f"{until}."
        stop = max(i for i, name in enumerate(names) if name == until or name.startswith(within)) + 1
    else:
        known = blocks(model)
        raise ModelError(
            f"the model has no block {until!r}{nearest(str(until), known)}",
            f"its blocks are {', '.join(known)}",
            "-s freeze=true for all but the head",
        )
    return names[:stop]


def _dropout_after(model: nn.Module, names: list[str], shape: Shape) -> set[str]:
    """Returns those dropout layers among `names` that run only after all other layers with weights.

    A blank image shows the order, because layers may be defined in another order, and a dropout layer may run twice.
    """
    modules = {name: model.get_submodule(name) for name in names if name}
    dropout = {name for name, module in modules.items() if _is_dropout(module)}
    if not dropout:
        return set()
    calls: list[str] = []
    weighed = {name for name, module in modules.items() if module._parameters or module._buffers}
    hooks = [
        modules[name].register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in modules
        if name in dropout | weighed
    ]
    try:
        with seeded(0):
            pass_blank(model, shape, torch.contiguous_format)
    finally:
        for hook in hooks:
            hook.remove()
    last = max((position for position, name in enumerate(calls) if name in weighed), default=-1)
    return dropout.intersection(calls[last + 1 :]) - {*calls[: last + 1]}


def _is_dropout(module: nn.Module) -> bool:
    """Returns whether a module is a dropout layer with a probability above 0."""
    return isinstance(module, DROPOUT) and module.p > 0


def _names(module: nn.Module, prefix: str = "") -> list[str]:
    return [name for name, _ in module.named_modules(prefix=prefix)]


@functools.cache
def _frozen_class(kind: Any) -> Any:
    """Returns the same class with a `train` that does nothing. An attribute of the module would be a reference cycle,
    and would keep a fold's model in memory until a garbage collection.
    """

    def stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001 - the signature is torch's
        return self

    return type(kind.__name__, (kind,), {"train": stay_in_eval, "__module__": kind.__module__})
