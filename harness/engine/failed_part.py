"""Finds which part of a fit raised an error. It reads the traceback, so the loop needs no extra code."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import Any

from harness.engine.callbacks.learning_rate import LearningRateSchedule
from harness.engine.metrics import Means
from harness.engine.trainer import EVENTS, Callback, State, Trainer
from harness.engine.watched import watching

PARTS: dict[CodeType, str] = {
    Trainer.forward.__code__: "forward",
    Trainer.loss_of.__code__: "loss",
    Trainer._backward.__code__: "backward",
    Trainer._step.__code__: "optimizer",
    Trainer._emit.__code__: "callback",
    Trainer._emit_fit_end.__code__: "callback",
    watching("on_epoch_end").__code__: "callback",
    Means.add.__code__: "metric",
    **{
        getattr(LearningRateSchedule, event).__code__: "scheduler"
        for event in ("on_fit_start", "on_batch_end", "on_epoch_end")
    },
}


@dataclass(frozen=True)
class Failed:
    """Where a fit failed."""

    part: str  # a value of `PARTS`, or "" for the loop
    state: State | None
    function: Any = None  # the callback's hook, or the metric
    event: str = ""  # the callback's event


def failed_part(error: BaseException) -> Failed | None:
    """Returns the innermost part of a fit that raised `error`, or None if the error is not from a fit."""
    failed: Failed | None = None
    part, state, function, event = "", None, None, ""
    trace = error.__traceback__
    while trace is not None:
        code, local = trace.tb_frame.f_code, trace.tb_frame.f_locals
        if code is Trainer.fit.__code__:
            state = local.get("state")
            failed = Failed("", state)
        elif code in PARTS:
            part = PARTS[code]
            function, event = local.get("hook", local.get("metric", function)), local.get("event", event)
            if code is Trainer._emit_fit_end.__code__:  # it calls the other hooks too, so `hook` may be a later one
                function, event = None, "on_fit_end"
        elif part == "callback" and code.co_name in EVENTS and isinstance(local.get("self"), Callback):
            function, event = getattr(local["self"], code.co_name), code.co_name
        trace = trace.tb_next
    return None if failed is None else Failed(part, state, function, event)
