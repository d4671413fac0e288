"""The state of a fit before its first step. What has not changed since then need not be saved."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine.callback import Callback
from harness.engine.marks import mark_of
from harness.engine.object_state import (
    attribute_state,
    changes_since,
    is_empty,
    is_users_object,
    object_state,
    saving,
)
from harness.engine.plain_values import PLAIN
from harness.engine.state import State

States = dict[str, Any]  # name -> what `object_state` returns


class FitStart:
    """The state of a fit after `on_fit_start`. A fit that resumes begins in the same state.

    So a saved state leaves out the frozen weights, the settings of layers, and the attributes that a callback's
    constructor sets. For each frozen weight it has a CRC-32, to refuse a fit that begins with different weights.
    """

    def __init__(self, state: State) -> None:
        frozen = {name: value for name, value in parameters_of(state).items() if not value.requires_grad}
        self._frozen = {name: mark_of(value) for name, value in frozen.items()}
        self._checksums: dict[str, int] = {}
        with saving(self.live(state)):
            self._layers = _layer_states(state)
            self._parts = _part_states(state)
            self._callbacks = {id(each): object_state(each) for each in state.callbacks}

    @staticmethod
    def live(state: State) -> set[int]:
        """Returns the `id` of each object that is saved elsewhere or that a callback may refer to."""
        live = [state, state.history, state.model, state.optimizer, state.scaler, *state.callbacks]
        live += [*state.parts.values(), *state.sources.values(), *parameters_of(state).values()]
        for module in parts_with_weights(state).values():
            live += [*module.modules(), *module.buffers()]
        return {id(each) for each in live}

    @staticmethod
    def checksum(value: Tensor) -> int:
        """Returns the CRC-32 of a tensor's content."""
        return zlib.crc32(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def unchanged(self, state: State) -> dict[str, int]:
        """Returns the CRC-32 of each parameter that was frozen at the start, still is, and has not changed."""
        now = {name: value for name, value in parameters_of(state).items() if not value.requires_grad}
        same = {name: value for name, value in now.items() if self._frozen.get(name) == mark_of(value)}
        for name, value in same.items():
            if name not in self._checksums:
                self._checksums[name] = self.checksum(value)
        return {name: self._checksums[name] for name in same}

    def changed_layers(self, state: State) -> States:
        """Returns for each layer the changed attributes that are not in a module's `state_dict`."""
        return _changed(self._layers, _layer_states(state))

    def changed_parts(self, state: State) -> States:
        """Returns the changed attributes of the loss and of the metrics that are objects."""
        return _changed(self._parts, _part_states(state))

    def changed(self, callback: Callback) -> Any:
        """Returns the state of a callback without the attributes that have not changed."""
        return changes_since(self._callbacks[id(callback)], object_state(callback), type(callback).__name__)


def parts_with_weights(state: State) -> dict[str, nn.Module]:
    """Returns the model, and the loss and metrics that are modules."""
    return {"model": state.model, **state.modules}


def parameters_of(state: State) -> dict[str, Tensor]:
    """Returns the parameters of all parts; keys are `part.parameter`."""
    return {
        f"{part}.{name}": parameter
        for part, module in parts_with_weights(state).items()
        for name, parameter in module.named_parameters()
    }


def layers_of(state: State) -> Iterator[tuple[str, nn.Module]]:
    """Yields all modules of all parts; names are `part.module`."""
    for part, module in parts_with_weights(state).items():
        yield from module.named_modules(prefix=part)


def _layer_states(state: State) -> States:
    """Returns all attributes of the user's layers, but only numbers, flags and text of a library's layers."""
    return {
        name: attribute_state(layer)
        if is_users_object(layer)
        else {"values": _numbers(layer), "objects": {}, "fixed": {}}
        for name, layer in layers_of(state)
    }


def _numbers(layer: nn.Module) -> States:
    return {key: value for key, value in vars(layer).items() if key != "training" and type(value) in PLAIN}


def _part_states(state: State) -> States:
    parts = {name: part for name, part in state.parts.items() if name not in state.modules}
    return {name: attribute_state(part) for name, part in parts.items() if not _is_code(part)}


def _is_code(part: Any) -> bool:
    return inspect.isroutine(part) or isinstance(part, type)


def _changed(start: States, now: States) -> States:
    changes = {name: changes_since(start[name], own, name) for name, own in now.items() if name in start}
    return {name: own for name, own in changes.items() if not is_empty(own)}
