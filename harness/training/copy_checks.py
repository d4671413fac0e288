"""Checks before a run that the loss and the callbacks can be copied, because each fold gets a copy."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

from harness.engine.trainer import EVENTS, Callback
from harness.errors import UserCodeError
from harness.util.user_code import TRACEBACK, calling, frame_of, reason, title


def copy_for_fold(part: str, value: Any) -> Any:
    """Copies a loss or a callback, as each fold does. Raises UserCodeError if it cannot be copied."""
    try:
        return copy.deepcopy(value)
    except (Exception, SystemExit) as error:
        kind = type(value)
        frame = frame_of(error)
        what = (
            f"{part} {kind.__qualname__} cannot be copied at {frame}"
            if frame
            else f"{title(part, kind)} cannot be copied"
        )
        fix = f"each fold gets a copy, so open files and connections in on_fit_start; {TRACEBACK}"
        raise UserCodeError(what, reason(error), fix) from error


def require_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raises UserCodeError for a callback that cannot be copied or whose hooks do not take the state."""
    for callback in callbacks:
        copy_for_fold("callback", callback)
        for event in EVENTS:
            hook = getattr(callback, event)
            with calling("callback", hook, f"{type(callback).__name__}.{event}"):
                inspect.signature(hook).bind(None)
