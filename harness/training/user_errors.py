"""Decides whether the user's code or this package failed in a fit. Names the user's function if it did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from harness.config.experiment import Experiment
from harness.engine.failed_part import Failed, failed_part
from harness.engine.return_checks import forward_name
from harness.engine.trainer import Callback, overrides
from harness.errors import HarnessError, UserCodeError
from harness.util.user_code import TRACEBACK, described, frame_of, is_ours, name_of, place_of, raised, reason

BATCH = "state.batch must be (inputs, targets): two tensors with one row per example"


@contextlib.contextmanager
def blamed(experiment: Experiment) -> Iterator[None]:
    """Turns an error of the experiment's functions in a fit into a `UserCodeError`.

    It reads the traceback afterwards, so the loop needs no extra code. An error passes unchanged if no line or function
    of the user led to it: then it is a bug in this package.
    """
    try:
        yield
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        failed = failed_part(error)
        fault = None if failed is None else _fault(experiment, failed, error)
        if fault is None:
            raise
        raise fault from error


def _fault(experiment: Experiment, failed: Failed, error: BaseException) -> UserCodeError | None:
    """Returns the error that names a function of the experiment; None if none of them failed."""
    if not frame_of(error):  # no line of the user was running, so check what their callbacks changed before
        state_error = _left_behind(experiment, failed, error)
        if state_error is not None:
            return state_error
    fault = _of_part(experiment, failed, error)
    replacing = _overriding(experiment, "on_batch_start")
    if fault is not None and replacing and failed.part in ("forward", "loss"):
        fault.why += f"; {_hooks(replacing, 'on_batch_start')} may have replaced the batch"
    frame = frame_of(error)
    if fault is None and frame:
        return UserCodeError(f"your code failed at {frame}", reason(error), f"fix that line; {TRACEBACK}")
    return fault


def _of_part(experiment: Experiment, failed: Failed, error: BaseException) -> UserCodeError | None:
    """Returns the error for the experiment's function for the failed part; None if it has no such function."""
    model, loss = callable(experiment.model), callable(experiment.loss)
    match failed.part:
        case "callback" if failed.function and (frame_of(error) or not is_ours(failed.function)):
            return raised("callback", failed.function, error, _hook_name(failed))
        case "metric":
            return raised("metric", failed.function, error)
        case "scheduler" | "optimizer" if callable(getattr(experiment, failed.part)):
            return raised(failed.part, getattr(experiment, failed.part), error)
        case "forward" if failed.state is not None and (model or frame_of(error)):
            function = failed.state.model if place_of(failed.state.model) else experiment.model
            return raised("forward", function, error, forward_name(failed.state.model))
        case "loss" if loss:
            return raised("loss", experiment.loss, error)
        case "loss" | "backward" if loss or model:
            part = "loss" if loss else "model"
            function = getattr(experiment, part)
            where = " in the backward pass" if failed.part == "backward" else ""
            return raised(part, function, error, name_of(function) + where)
    return None


def _left_behind(experiment: Experiment, failed: Failed, error: BaseException) -> UserCodeError | None:
    """Returns the error for a batch or a history that a callback changed so that the fit cannot use it."""
    state, ended = failed.state, failed.event == "on_epoch_end"
    if state is None:
        return None
    replacing = [] if ended else _overriding(experiment, "on_batch_start")
    writing = _overriding(experiment, "on_epoch_end") if ended else []
    if replacing and not (isinstance(state.batch, (tuple, list)) and len(state.batch) == 2):
        count = f" of {len(state.batch)}" if isinstance(state.batch, (tuple, list)) else ""
        what = f"{_hooks(replacing, 'on_batch_start')} left {described(state.batch)}{count} as the batch"
        return UserCodeError(what, BATCH, f"assign a pair to state.batch; {TRACEBACK}")
    if replacing and failed.part in ("forward", "loss", "metric"):
        inputs, targets = state.batch
        what = f"{_hooks(replacing, 'on_batch_start')} left a batch that the model or the loss cannot use"
        why = f"{reason(error)}; inputs: {described(inputs)}; targets: {described(targets)}"
        return UserCodeError(what, why, f"{BATCH}; {TRACEBACK}")
    if not writing:
        return None
    hooks = _hooks(writing, "on_epoch_end")
    if not state.history:
        why = "state.history must have a row for each epoch, because other callbacks read it"
        return UserCodeError(f"{hooks} left an empty history", why, "keep the rows of state.history")
    row: dict[str, Any] = dict(state.history[-1])
    wrong = {name: value for name, value in row.items() if not isinstance(value, (int, float))}
    if not wrong:
        return None
    name, value = next(iter(wrong.items()))
    what = f"{hooks} left {described(value)} in the history, as {name!r}"
    return UserCodeError(what, "each value in a row of state.history must be a number", f"{name}: float(value)")


def _overriding(experiment: Experiment, event: str) -> list[Callback]:
    """Returns the experiment's callbacks that override the hook of an event."""
    return [c for c in experiment.callbacks if overrides(c, event)]


def _hooks(callbacks: list[Callback], event: str) -> str:
    """Returns the hooks for an event with their places, for display."""
    hooks = [(type(callback).__name__, place_of(getattr(callback, event))) for callback in callbacks]
    return "callback " + " or ".join(f"{name}.{event}{f' ({where})' if where else ''}" for name, where in hooks)


def _hook_name(failed: Failed) -> str:
    owner: Any = getattr(failed.function, "__self__", None)
    return f"{type(owner).__name__}.{failed.event}" if owner is not None else failed.event
