"""Learning curves of a run, as charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.charts import Chart, horizontal, short_number, ticks, vertical

SIDES = {"train": ("training", "train"), "inner": ("inner part", "inner"), "valid": ("validation", "valid")}
Rows = Sequence[Mapping[str, Any]]


def curve_charts(rows: Rows, judged: Mapping[int, int]) -> list[Chart]:
    """Returns charts of loss and accuracy by epoch: thin lines for folds, a thick one for their mean.

    Args:
        rows: The rows of `metrics.jsonl`.
        judged: Fold -> its evaluated epoch, which gets a dot; only for finished folds.
    """
    return [] if not rows else [_chart(rows, judged, "loss"), _chart(rows, judged, "accuracy")]


def _chart(rows: Rows, judged: Mapping[int, int], quantity: str) -> Chart:
    is_share = quantity == "accuracy"
    folds = sorted({row["fold"] for row in rows})
    lines = {side: [_line(rows, fold, f"{side}_{quantity}") for fold in folds] for side in SIDES}
    lines = {side: each for side, each in lines.items() if any(each)}
    values = [value for each in lines.values() for line in each for value in line.values()] or [0.0]
    low, high = _limits(values, is_share)
    last = max(row["epoch"] for row in rows)
    first = 0.5 if last == 1 else 1.0
    chart = Chart(
        title=quantity.capitalize(),
        about=_about(lines, is_share),
        x=horizontal(first, max(last, 1.5)),
        y=vertical(low, high),
        x_label="epoch",
        y_label=f"{quantity} (%)" if is_share else quantity,
        x_ticks=[(value, f"{value:g}") for value in ticks(1, last, 6, whole=True)],
        y_ticks=[(value, short_number(100 * value if is_share else value)) for value in ticks(low, high)],
    )
    several = len(folds) > 1
    for side, each in lines.items():
        look = SIDES[side][1]
        for fold, line in zip(folds, each, strict=True):
            if line:
                chart.line([*line.items()], f"{look} thin" if several else look)
            if side == "valid" and judged.get(fold) in line:
                epoch = judged[fold]
                chart.dot(epoch, line[epoch], "valid", 2.5, f"fold {fold}, epoch {epoch}")
        mean = _mean(each)
        if several and mean:
            chart.line([*mean.items()], look)
    chart.key = [(SIDES[side][1], SIDES[side][0]) for side in lines]
    return chart


def _about(lines: Mapping[str, Sequence[Mapping[int, float]]], is_share: bool) -> str:
    """The chart in words: the first and the last value of the mean of each split."""
    parts = []
    for side, each in lines.items():
        mean = _mean([line for line in each if line])
        if mean:
            first, last = min(mean), max(mean)
            start, end = (f"{100 * mean[i]:.1f} %" if is_share else f"{mean[i]:.3f}" for i in (first, last))
            later = f", {end} in epoch {last}" if last > first else ""
            parts.append(f"{SIDES[side][0]}: {start} in epoch {first}{later}")
    return "; ".join(parts)


def _line(rows: Rows, fold: int, name: str) -> dict[int, float]:
    """The finite values by epoch."""
    own = {row["epoch"]: row.get(name) for row in rows if row["fold"] == fold}
    return {epoch: float(value) for epoch, value in own.items() if value is not None and math.isfinite(value)}


def _mean(lines: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over the folds, for epochs that all folds have."""
    if not lines:
        return {}
    shared = sorted(set.intersection(*(set(line) for line in lines)))
    return {epoch: sum(line[epoch] for line in lines) / len(lines) for epoch in shared}


def _limits(values: Sequence[float], is_share: bool) -> tuple[float, float]:
    """The limits of the axis. A few huge losses are outside, so that the others stay readable."""
    low, high = min(values), max(values)
    if not is_share:
        usual = sorted(values)[math.ceil(0.9 * len(values)) - 1]
        high = 2 * usual if high > 10 * usual > 0 else high
        return (min(0.0, low), high * 1.05 if high > 0 else 1.0)
    room = max(0.01, 0.06 * (high - low))
    return max(0.0, low - room), min(1.0, high + room)
