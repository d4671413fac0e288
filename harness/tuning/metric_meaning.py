"""Checks that a metric means the same for all trials. Trials ranked by different metrics cannot be compared."""

from __future__ import annotations

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.config.object_text import UNREADABLE, without_module
from harness.errors import ExperimentError
from harness.tuning.trial_record import LOG_LOSS, LOSS

UNKNOWN = (UNREADABLE, "<lambda>")  # if a text has these parts, two different objects can have the same text


def require_same_meaning(trial: Experiment, written: Experiment, metric: str) -> None:
    """Raises ExperimentError if a trial changes what computes the metric.

    Args:
        trial: The trial's experiment.
        written: The experiment as written, which is the first trial.
        metric: What the search ranks by.
    """
    if metric == LOSS and not _is_same(trial.loss, written.loss):
        raise ExperimentError(
            f"trials cannot be compared by {LOSS}: a trial changes loss",
            f"the trial would be ranked by {_name(trial.loss)}, but the experiment as written by {_name(written.loss)}",
            f"--metric {LOG_LOSS}, which is the cross-entropy for all trials; or remove loss from the search space",
        )
    before, now = (
        [callback for callback in experiment.callbacks if metric in callback.metric_names]
        for experiment in (written, trial)
    )
    if len(before) != len(now) or not all(map(_is_same, before, now)):
        raise ExperimentError(
            f"trials cannot be compared by {metric}: a trial changes the callback that computes it",
            f"the experiment as written has {_names(before)}, the trial {_names(now)}",
            "make the callback once, outside the search space, and use it in each trial; or use another --metric",
        )


def _is_same(one: object, other: object) -> bool:
    """Whether two objects are identical, or have the same name and arguments. A lambda has no name."""
    text = str(json_value(one))
    return one is other or (text == str(json_value(other)) and not any(part in text for part in UNKNOWN))


def _names(callbacks: list[object]) -> str:
    return ", ".join(map(_name, callbacks)) or "none"


def _name(value: object) -> str:
    return without_module(str(json_value(value)))
