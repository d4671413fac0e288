"""Charts of a study: accuracy against training time, and against each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.report.charts import Chart, horizontal, power_ticks, short_number, ticks, vertical
from harness.report.texts import between, duration, percent, shown
from harness.runs.study_record import StudyTrial
from harness.util.files import short

MOST_CHOICES = 12  # the most choices of a parameter without numbers
SHOWN = 0.8  # share of the trials inside a chart; the worse ones are at its edge


def time_chart(trials: Sequence[StudyTrial], best: int | None) -> Chart:
    """Returns a chart of accuracy against training time, for trials with at least one finished fold."""
    seconds = [max(trial.loop_seconds, 0.001) for trial in trials]
    log = max(seconds) > 20 * min(seconds)
    low, high = (min(seconds), max(seconds)) if log else (0.0, max(seconds) * 1.05)
    if log:
        low, high = low / 1.2, high * 1.2
    return _scatter(
        trials,
        seconds,
        best,
        title="Accuracy against training time",
        x=(low, high, log),
        x_label="training time (s)",
        x_ticks=[(value, short_number(value)) for value in (power_ticks(low, high) if log else ticks(low, high))],
    )


def parameter_charts(trials: Sequence[StudyTrial], names: Sequence[str], best: int | None) -> list[Chart]:
    """Returns charts of accuracy against each parameter, for the trials that changed it."""
    return [chart for name in names if (chart := _parameter_chart(trials, name, best)) is not None]


def _parameter_chart(trials: Sequence[StudyTrial], name: str, best: int | None) -> Chart | None:
    own = [trial for trial in trials if name in trial.changes]
    values = [trial.changes[name] for trial in own]
    if len(own) < 2:
        return None
    if all(_is_number(value) for value in values):
        numbers = [float(value) for value in values]
        low, high = min(numbers), max(numbers)
        log = low > 0 and high > 20 * low
        room = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
        ends = (low / 1.3, high * 1.3) if log else (low - room, high + room)
        marks = power_ticks(*ends) if log else ticks(*ends)
        places, x_ticks = numbers, [(value, short_number(value)) for value in marks]
        scale = (*ends, log)
    else:
        choices = sorted({_choice(value) for value in values})
        if len(choices) > MOST_CHOICES:
            return None
        places = [float(choices.index(_choice(value))) for value in values]
        x_ticks = [(float(i), short(text, 12)) for i, text in enumerate(choices)]
        scale = (-0.5, len(choices) - 0.5, False)
    return _scatter(own, places, best, title=shown(name), x=scale, x_label=shown(name), x_ticks=x_ticks)


def _scatter(
    trials: Sequence[StudyTrial],
    places: Sequence[float],
    best: int | None,
    *,
    title: str,
    x: tuple[float, float, bool],
    x_label: str,
    x_ticks: list[tuple[float, str]],
) -> Chart:
    low, high = _limits(trials)
    chart = Chart(
        title=title,
        about=_about(trials, title),
        x=horizontal(x[0], x[1], log=x[2]),
        y=vertical(low, high),
        x_label=x_label,
        y_label="accuracy (%)",
        x_ticks=x_ticks,
        y_ticks=[(value, short_number(100 * value)) for value in ticks(low, high)],
        key=[("valid", "a trial, with its 95 % interval"), ("pruned", "pruned"), ("best", "the best")],
    )
    order = sorted(range(len(trials)), key=lambda i: (trials[i].trial == best, trials[i].state == "complete"))
    for i in order:
        trial, place = trials[i], places[i]
        assert trial.accuracy is not None
        look = "best" if trial.trial == best else "valid" if trial.state == "complete" else "pruned"
        if trial.low is not None and trial.high is not None:
            chart.rule((place, trial.low), (place, trial.high), f"{look} thin")
        says = f"trial {trial.trial}: {percent(trial.accuracy)}, {duration(trial.loop_seconds)}"
        chart.dot(place, trial.accuracy, look, 5 if look == "best" else 3.5, says)
    return chart


def _limits(trials: Sequence[StudyTrial]) -> tuple[float, float]:
    """The limits of the accuracy axis. The worst trials are outside, so that good trials do not overlap."""
    values = sorted((trial.accuracy or 0.0 for trial in trials), reverse=True)
    worst = values[max(1, math.ceil(SHOWN * len(values))) - 1]
    ends = [trial.low for trial in trials if trial.low is not None and (trial.accuracy or 0.0) >= worst]
    tops = [trial.high for trial in trials if trial.high is not None]
    room = 0.1 * (values[0] - worst) or 0.01
    return max(0.0, min([worst - room, *ends])), min(1.0, max([values[0] + room, *tops]))


def _about(trials: Sequence[StudyTrial], title: str) -> str:
    top = max(trials, key=lambda trial: trial.accuracy or 0.0)
    highest = f"{percent(top.accuracy)} ({_interval(top)})"
    return f"{title}: {len(trials)} trials; the highest is trial {top.trial} with {highest}"


def _interval(trial: StudyTrial) -> str:
    return "–" if trial.low is None or trial.high is None else between((trial.low, trial.high))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _choice(value: Any) -> str:
    return shown(str(value)).lower() if isinstance(value, bool) or value is None else shown(str(value))
