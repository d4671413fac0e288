"""Prints the progress of a study: a bar with the remaining time, and a line for each trial."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.engine.callback import Stateless
from harness.engine.trainer import Callback, State
from harness.tuning.trial_record import ACCURACY, TrialRecord
from harness.util.console import bar_of, print_line

DONE = ("complete", "pruned", "failed")


class Progress:
    """The progress bar of a study.

    Args:
        total: Number of trials.
        folds: Number of folds of a trial; 0 without cross-validation.
        workers: Number of processes that work on the study.
        quiet: Whether another process prints the progress.
    """

    def __init__(self, total: int, folds: int, workers: int = 1, quiet: bool = False) -> None:
        self._total = total
        self._folds = folds
        self._workers = workers
        self._quiet = quiet
        self._bar: Any = bar_of(total, "search", "trials", quiet)
        self._now = ""
        self._drawn = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether another process prints the messages."""
        return self._quiet

    def show(self, trials: Sequence[TrialRecord], best: TrialRecord | None) -> None:
        """Updates the bar."""
        if self._bar.disable:
            return
        self._bar.n = sum(trial.state in DONE for trial in trials)
        left = self.seconds_left(trials)
        parts = [
            self._now,
            f"best {100 * best.accuracy.value:.1f} % (trial {best.index})" if best else "",
            f"about {span(left)} left" if left is not None else "",
        ]
        self._bar.set_postfix_str(", ".join(part for part in parts if part))

    def tell_kind(self, kind: str, trials: Sequence[TrialRecord]) -> None:
        """Prints how long a trial of that kind takes, after the first one has ended."""
        seconds = per_fold(trials).get(kind)
        if seconds is not None and sum(trial.kind == kind and trial.state in DONE for trial in trials) == 1:
            print_line(f"  a trial with {kind} takes about {span(seconds * self._folds)}, {span(seconds)} per fold")

    def seconds_left(self, trials: Sequence[TrialRecord]) -> float | None:
        """Seconds until the study ends, if later trials are like those so far; None before the first has ended."""
        done = [trial for trial in trials if trial.state in DONE and trial.folds]
        if not done:
            return None
        mean = sum(trial.seconds for trial in done) / len(done)
        return mean * max(0, self._total - len([t for t in trials if t.state in DONE])) / self._workers

    def callback(self, index: int, fold: int, redraw: Callable[[], None]) -> Callback:
        """A callback that shows the current trial, fold and epoch in the bar."""
        return _EpochLabel(
            self, f"trial {index}, fold {fold}/{self._folds}" if self._folds else f"trial {index}", redraw
        )

    def now(self, text: str) -> bool:
        """Sets the text of the bar. Returns whether to redraw the bar: at most once a second."""
        self._now = text
        old, self._drawn = self._drawn, time.monotonic()
        if self._drawn - old < 1 or self._bar.disable:
            self._drawn = old
            return False
        return True

    def close(self) -> None:
        self._bar.close()


class _EpochLabel(Stateless):
    def __init__(self, progress: Progress, where: str, redraw: Callable[[], None]) -> None:
        self._progress = progress
        self._where = where
        self._redraw = redraw

    def on_epoch_end(self, state: State) -> None:
        if self._progress.now(f"{self._where}, epoch {state.epoch}/{state.epochs}"):
            self._redraw()


def per_fold(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Kind -> seconds per fold: the median, because the first fold also computes what later ones share."""
    of_kind: dict[str, list[float]] = {}
    for trial in trials:
        of_kind.setdefault(trial.kind, []).extend(fold.seconds for fold in trial.folds)
    return {kind: statistics.median(seconds) for kind, seconds in of_kind.items() if seconds}


def line(trial: TrialRecord, done: int, total: int, metric: str, is_best: bool) -> str:
    """The printed line of a trial that has ended, number `done` of `total`."""
    changes = ", ".join(f"{name} {_short(value)}" for name, value in trial.changes.items()) or "as written"
    head = f"{done:>3} of {total}: trial {trial.index:<3}"
    if trial.state == "failed":
        return f"{head}  failed: {trial.attributes.get('reason')}  [{changes}]"
    if not trial.folds:
        return f"{head}  pruned {trial.attributes.get('pruned')}"
    low, high = trial.accuracy.interval
    value = "" if metric == ACCURACY else f"{metric.replace('_', ' ')} {trial.value:.4f}  "
    result = (
        f"{value}{100 * trial.accuracy.value:5.1f} % ({100 * low:.1f} to {100 * high:.1f})  {span(trial.seconds):>6}"
    )
    end = (
        f"  pruned {trial.attributes.get('pruned')}" if trial.state == "pruned" else "  best so far" if is_best else ""
    )
    return f"{head}  {result}  {changes}{end}"


def span(seconds: float) -> str:
    """A duration as text: `3.2 s`, `4 min 10 s`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2f} s"
    minutes = seconds / 60
    if minutes < 10:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


class Deadline:
    """The time limit of a search. No trial starts that would probably end after it."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds
        self._first = True  # the first trial starts if any time is left, because its duration is not known

    def passed(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether a trial that takes as long as those so far would end too late."""
        if self._at is None:
            return False
        first, self._first = self._first, False
        done = [trial.seconds for trial in trials if trial.state in ("complete", "pruned") and trial.folds]
        expected = statistics.median(done) if done and not first else 0.0
        return time.monotonic() + expected > self._at
