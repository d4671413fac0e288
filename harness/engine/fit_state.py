"""Saves and restores the complete state of a fit between two batches, so that it resumes bit-identically."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch

from harness.engine.callback import Callback, Stateless
from harness.engine.fit_start import FitStart, layers_of, parameters_of, parts_with_weights
from harness.engine.generators import generator_states, loader_generators, set_generators
from harness.engine.metrics import Means
from harness.engine.object_state import load_attribute_state, load_object_state, saving
from harness.engine.plain_values import NotSavedError, copied, restored
from harness.engine.state import Row, State
from harness.errors import ModelError

COUNTERS = ("epoch", "step", "phase", "stop_reason", "rates", "done")  # fields of `State`


def fit_state(state: State, start: FitStart) -> dict[str, Any]:
    """Returns everything that is needed to resume here, copied to the CPU, as tensors and plain values.

    Args:
        state: The fit, between two batches or after an epoch.
        start: The same fit before its first step.

    Returns:
        A dictionary. `unsaved` names attributes of callbacks, losses and layers that cannot be saved.

    Raises:
        NotSavedError: The state of the optimizer, or of a part of the user's, holds an object that cannot be saved.
    """
    frozen = start.unchanged(state)
    with saving(start.live(state)) as record:
        return {
            **{name: copied(getattr(state, name)) for name in COUNTERS},
            "batches": dict(state.batches),
            "history": [dict(row) for row in state.history],
            "row": None if state.row is None else dict(state.row),
            "means": None if state.means is None else state.means.state_dict(),
            "generators": generator_states(),
            "generators_of_phase": copied(state.generators),
            "loaders": {phase: copied(loader_generators(batches)) for phase, batches in state.sources.items()},
            "frozen": frozen,
            "weights": {
                part: copied({n: v for n, v in module.state_dict().items() if f"{part}.{n}" not in frozen})
                for part, module in parts_with_weights(state).items()
            },
            "buffers": copied(_other_buffers(state)),
            "layers": start.changed_layers(state),
            "parts": start.changed_parts(state),
            "trainable": [name for name, parameter in parameters_of(state).items() if parameter.requires_grad],
            "optimizer": copied(state.optimizer.state_dict()),
            "optimizer_class": type(state.optimizer).__name__,
            "groups": _groups(state),
            "scaler": copied(state.scaler.state_dict()),
            "callbacks": [(_name(each), start.changed(each)) for each in stateful(state)],
            "unsaved": record.unsaved,
        }


def progress_of(saved: Mapping[str, Any]) -> tuple[int, int]:
    """Returns (last complete epoch, batches trained on) of a state that `fit_state` returned."""
    return (saved["epoch"] if saved["row"] is None else saved["epoch"] - 1), saved["step"]


def load_fit_state(state: State, saved: Mapping[str, Any], means: Means) -> None:
    """Brings a fit to the state that `fit_state` saved.

    Args:
        state: The fit after `on_fit_start`. Its model, optimizer and callbacks were made as in the saved fit.
        saved: What `fit_state` returned.
        means: New, empty means, for the phase that was interrupted.

    Raises:
        ModelError: The model, the optimizer or the callbacks differ from the saved ones.
    """
    callbacks = stateful(state)
    pairs = {
        "callbacks": (", ".join(name for name, _ in saved["callbacks"]), ", ".join(map(_name, callbacks))),
        "optimizer": (saved["optimizer_class"], type(state.optimizer).__name__),
        "parts with weights": (", ".join(saved["weights"]), ", ".join(parts_with_weights(state))),
        "batches": (_counts(saved["batches"]), _counts(state.batches)),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            raise _other(f"the saved {what}: {then or 'none'}; the {what} now: {now or 'none'}")
    try:
        _load_weights(state, saved)
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise _other(" ".join(str(error).split())) from error
    for name, part in saved["parts"].items():
        load_attribute_state(state.parts[name], part, state.device)
    for (_, own), callback in zip(saved["callbacks"], callbacks, strict=True):
        load_object_state(callback, own, state.device)
    if saved["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(saved["scaler"])
    for name in COUNTERS:
        setattr(state, name, restored(saved[name], state.device))
    state.history[:] = [Row(state.was_read, **row) for row in saved["history"]]
    state.row = None if saved["row"] is None else Row(state.was_read, **saved["row"])
    if saved["means"] is not None:
        means.load_state_dict(saved["means"])
        state.means = means
    state.generators = restored(saved["generators_of_phase"], torch.device("cpu"))
    for phase, batches in state.sources.items():
        set_generators({"loader": saved["loaders"].get(phase, [])}, batches)
    set_generators(saved["generators"])


def batches_left(state: State, batches: Iterable[Any]) -> Iterator[Any]:
    """Returns the remaining batches of a phase. The random generators are as they were at the first of them.

    If the iterable has `start_at(count)`, earlier batches are not loaded. Otherwise they are drawn again and dropped.
    """
    if state.means is None:  # the phase begins
        state.generators = {**generator_states(), "loader": loader_generators(batches)}
        return iter(batches)
    if state.phase == "train" and state.stop_reason is not None:
        return iter(())
    here = generator_states()
    set_generators(state.generators, batches)
    if hasattr(batches, "start_at"):
        batches.start_at(state.done)
        left = iter(batches)
    else:
        left = iter(batches)
        deque(islice(left, state.done), maxlen=0)
    set_generators(here)
    return left


def stateful(state: State) -> list[Callback]:
    """Returns the callbacks that have a state."""
    return [each for each in state.callbacks if not isinstance(each, Stateless)]


def _load_weights(state: State, saved: Mapping[str, Any]) -> None:
    """Loads the model, the parts with weights, their layers, and the optimizer with its parameter groups."""
    parameters, trainable = parameters_of(state), {*saved["trainable"]}
    for name, checksum in saved["frozen"].items():
        if FitStart.checksum(parameters[name]) != checksum:
            raise ValueError(f"the frozen weights of {name} differ from the saved ones")
    for part, module in parts_with_weights(state).items():
        own = restored(saved["weights"][part], state.device)
        wrong = module.load_state_dict(own, strict=False)
        missing = [name for name in wrong.missing_keys if f"{part}.{name}" not in saved["frozen"]]
        if missing or wrong.unexpected_keys:
            raise ValueError(f"the {part} has different weights: {', '.join([*missing, *wrong.unexpected_keys][:3])}")
    buffers = _other_buffers(state)
    for name, value in restored(saved["buffers"], state.device).items():
        buffers[name].copy_(value)
    layers = dict(layers_of(state))
    for name, own in saved["layers"].items():
        load_attribute_state(layers[name], own, state.device)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trainable)
    groups = state.optimizer.param_groups
    for number, names in enumerate(saved["groups"]):  # a callback may have added groups, as gradual unfreezing does
        own = [parameters[name] for name in names]
        if number == len(groups):
            state.optimizer.add_param_group({"params": own})
        groups[number]["params"] = own
    state.optimizer.load_state_dict(restored(saved["optimizer"], state.device))


def _other_buffers(state: State) -> dict[str, torch.Tensor]:
    """Returns the buffers that are not in a `state_dict`."""
    others: dict[str, torch.Tensor] = {}
    for part, module in parts_with_weights(state).items():
        saved = module.state_dict().keys()
        others |= {f"{part}.{name}": value for name, value in module.named_buffers() if name not in saved}
    return others


def _groups(state: State) -> list[list[str]]:
    """Returns the parameter names of each group of the optimizer. Raises NotSavedError if a parameter has no name."""
    names = {id(parameter): name for name, parameter in parameters_of(state).items()}
    try:
        return [[names[id(parameter)] for parameter in group["params"]] for group in state.optimizer.param_groups]
    except KeyError:
        raise NotSavedError("a parameter of the optimizer that is in neither the model nor the loss") from None


def _counts(batches: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} of {phase}" for phase, count in batches.items())


def _name(callback: Callback) -> str:
    return type(callback).__name__


def _other(why: str) -> ModelError:
    return ModelError("the fit cannot resume from the saved state", why, "start a new run, without --resume")
