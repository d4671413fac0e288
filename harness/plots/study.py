"""Plots of a study: the trials in order, and their values by parameter. Pruned trials are hollow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from harness.plots.figure import BLUE, GREY, ORANGE, RED, legend, saved_figure
from harness.util.files import short

SMALL: dict[str, Any] = {
    "va": "center",
    "fontsize": 8,
    "zorder": 5,
    "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
}
LONGEST_NAME = 30  # characters of a parameter's name
WORST_SHOWN = 0.8  # share of the trials within the axes; the worse ones are drawn at the edge


@dataclass(frozen=True)
class Point:
    """A trial with its parameters and its value, which is the mean of the finished folds if it was pruned."""

    trial: int
    value: float
    interval: tuple[float, float] | None  # 95 %, where the value is an accuracy
    complete: bool
    seconds: float
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """A parameter with its choices or its range."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def position(self, value: Any) -> float:
        """The position of a value on the axis, from 0 to 1."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1) if len(self.choices) > 1 else 0.5
        scale: Callable[[float], float] = math.log if self.log else float
        span = scale(self.high) - scale(self.low)
        return (scale(value) - scale(self.low)) / span if span else 0.5


@dataclass(frozen=True)
class Study:
    """The trials and the parameters of a study."""

    title: str
    metric: str
    rising: bool  # whether a higher value is better
    points: Sequence[Point]  # in the order of the trials
    failed: Sequence[int]  # numbers of the failed trials
    axes: Sequence[Axis]

    @property
    def factor(self) -> float:
        return 100.0 if self.metric.endswith("accuracy") else 1.0

    @property
    def label(self) -> str:
        return self.metric.replace("_", " ") + (" %" if self.factor == 100 else "")

    @property
    def best(self) -> Point:
        complete = [point for point in self.points if point.complete] or list(self.points)
        return max(complete, key=lambda point: point.value if self.rising else -point.value)

    def limits(self) -> tuple[float, float]:
        """The limits of the value axis, in the unit of the label. A few of the worst trials lie outside."""
        values = sorted((point.value * self.factor for point in self.points), reverse=self.rising)
        worst = values[max(1, math.ceil(WORST_SHOWN * len(values))) - 1]
        room = 0.12 * abs(values[0] - worst) or 1.0
        ends = values[0] + (room if self.rising else -room), worst - (room if self.rising else -room)
        low, high = min(ends), max(ends)
        return low, min(high, 100.4) if self.factor == 100 else high

    @cached_property
    def edge(self) -> float:
        """The limit at the bad end."""
        return self.limits()[0 if self.rising else 1]

    @property
    def arrow(self) -> str:
        """The mark of a trial that is worse than `edge`."""
        return "v" if self.rising else "^"

    def is_beyond(self, point: Point) -> bool:
        """Whether a trial is worse than `edge`."""
        value = point.value * self.factor
        return value < self.edge if self.rising else value > self.edge


def draw_history(path: Path, study: Study) -> None:
    """Draws the value of each trial with its interval, in order, and the best value so far."""
    with saved_figure(path, 9, 4.6, f"{study.title}: trials in order", _about(study)) as figure:
        axes = figure.subplots()
        low, high = study.limits()
        _dots(axes, study, lambda point: point.trial, intervals=True)
        best, steps = -math.inf, []
        for point in study.points:
            signed = point.value if study.rising else -point.value
            best = max(best, signed) if point.complete else best
            steps.append(abs(best) * study.factor)
        places = [point.trial for point in study.points]
        axes.step(places, steps, where="post", color=ORANGE, linewidth=1.6, zorder=1)
        axes.plot(study.failed, [study.edge] * len(study.failed), "x", color=RED, clip_on=False, zorder=4)
        axes.set_ylim(low, high)
        axes.set_xlim(min([*places, *study.failed]) - 0.6, max([*places, *study.failed]) + 0.6)
        axes.set_xlabel("trial")
        axes.set_ylabel(study.label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _key(axes, study, best_line=True)


def draw_slices(path: Path, study: Study) -> None:
    """Draws the values against each parameter."""
    rng = np.random.default_rng(0)  # so that trials of the same choice do not hide each other
    count = len(study.axes)
    with saved_figure(path, max(5.0, 3.2 * count), 4, f"{study.title}: each parameter", _about(study)) as figure:
        for axes, axis in zip(np.atleast_1d(figure.subplots(1, count, sharey=True)), study.axes, strict=True):
            shift = {point.trial: rng.uniform(-0.12, 0.12) for point in study.points}
            if axis.choices:
                axes.set_xticks(range(len(axis.choices)), [short(str(choice)) for choice in axis.choices])
                axes.set_xlim(-0.5, len(axis.choices) - 0.5)
            elif axis.log:
                axes.set_xscale("log")
                values, texts = zip(*_ticks(axis), strict=True)
                axes.set_xticks(values, texts, rotation=40)
                axes.minorticks_off()

            def where(point: Point, axis: Axis = axis, shift: dict[int, float] = shift) -> float | None:
                if axis.name not in point.parameters:
                    return None
                value = point.parameters[axis.name]
                return axis.choices.index(value) + shift[point.trial] if axis.choices else value

            _dots(axes, study, where)
            axes.set_xlabel(short(axis.name, LONGEST_NAME))
            axes.set_ylim(*study.limits())
        figure.axes[0].set_ylabel(study.label)
        _key(figure.axes[-1], study, best_line=False)


def draw_parallel(path: Path, study: Study) -> None:
    """Draws a line for each trial through its parameters to its value: dark lines are good, dashed ones pruned."""
    from matplotlib import colormaps
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    low, high = study.limits()
    last = len(study.axes)
    with saved_figure(path, max(6.0, 2.2 * (last + 1)), 4.6, f"{study.title}: all parameters", _about(study)) as figure:
        axes = figure.subplots()
        for point in sorted(study.points, key=lambda point: point.value, reverse=not study.rising):
            if any(axis.name not in point.parameters for axis in study.axes):
                continue
            places = [axis.position(point.parameters[axis.name]) for axis in study.axes]
            share = min(1.0, max(0.0, (point.value * study.factor - low) / (high - low)))
            good = share if study.rising else 1 - share
            xs, ys = [*range(last + 1)], [*places, share]
            curve: list[tuple[float, float]] = [(0, ys[0])]
            codes = [Curve.MOVETO]
            for x, (y, after) in enumerate(pairwise(ys)):
                curve += [(x + 0.4, y), (x + 0.6, after), (x + 1, after)]
                codes += [Curve.CURVE4] * 3
            colour = ORANGE if point is study.best else colormaps["Blues"](0.2 + 0.8 * good)
            style = "-" if point.complete else (0, (3, 2))
            look = {"edgecolor": colour, "linestyle": style, "linewidth": 2.6 if point is study.best else 1.2}
            axes.add_patch(PathPatch(Curve(curve, codes), fill=False, **look))
            axes.plot(xs, ys, "o", color=colour, markersize=3)
        for x, axis in enumerate(study.axes):
            axes.axvline(x, color=GREY, linewidth=0.8)
            for value, text in _ticks(axis):
                axes.text(x - 0.03, axis.position(value), text, **SMALL, ha="right", color="#333333")
        axes.axvline(last, color=GREY, linewidth=0.8)
        for value in MaxNLocator(6).tick_values(low, high):
            if low <= value <= high:
                axes.text(last + 0.03, (value - low) / (high - low), f"{value:g}", **SMALL, ha="left")
        if bad := sum(map(study.is_beyond, study.points)):
            text = f"{bad} worse than {study.edge:.3g}"
            axes.text(last + 0.03, -0.06 if study.rising else 1.06, text, **SMALL, ha="left", color=GREY)
        axes.set_xticks(range(last + 1), [*(short(axis.name, LONGEST_NAME) for axis in study.axes), study.label])
        axes.set_yticks([])
        axes.set_xlim(-0.45, last + 0.45)
        axes.set_ylim(-0.08, 1.08)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)


def draw_front(path: Path, study: Study, front: Sequence[int]) -> None:
    """Draws the values against the training time. No trial is both better and faster than a trial on the front."""
    metric = study.metric.replace("_", " ")
    with saved_figure(path, 7.5, 4.6, f"{study.title}: {metric} and training time", _about(study)) as figure:
        axes = figure.subplots()
        _dots(axes, study, lambda point: point.seconds)
        on_it = sorted((point for point in study.points if point.trial in front), key=lambda point: point.seconds)
        axes.step(
            [point.seconds for point in on_it],
            [point.value * study.factor for point in on_it],
            where="post",
            color=ORANGE,
            linewidth=1.6,
        )
        for point in on_it:
            axes.annotate(
                f"trial {point.trial}",
                (point.seconds, point.value * study.factor),
                fontsize=8,
                xytext=(4, -10),
                textcoords="offset points",
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.set_xlabel("training time (s)")
        axes.set_ylabel(study.label)
        axes.set_ylim(*study.limits())
        _key(axes, study, best_line=False)


def _dots(axes: Any, study: Study, where: Callable[[Point], float | None], intervals: bool = False) -> None:
    """Draws a dot for each trial, or an arrow at the edge if the trial is worse than `study.edge`."""
    for point in study.points:
        x, y = where(point), point.value * study.factor
        if x is None:
            continue
        colour = ORANGE if point is study.best else BLUE
        face = colour if point.complete else "white"
        if study.is_beyond(point):
            axes.plot(x, study.edge, study.arrow, color=BLUE, markerfacecolor="white", clip_on=False, zorder=4)
            continue
        if intervals and point.interval is not None:
            ends = [end * study.factor for end in point.interval]
            axes.plot([x, x], ends, color=GREY, linewidth=0.9, alpha=0.6, zorder=2)
        axes.plot(x, y, "o", color=colour, markerfacecolor=face, markersize=6, zorder=3)


def _key(axes: Any, study: Study, best_line: bool) -> None:
    from matplotlib.lines import Line2D

    def mark(style: str, **options: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=style, **options)

    rows = [(mark("o", color=BLUE), "complete"), (mark("o", color=ORANGE), "the best")]
    if any(not point.complete for point in study.points):
        rows.append((mark("o", color=BLUE, markerfacecolor="white"), "pruned, mean of its folds"))
    if any(map(study.is_beyond, study.points)):
        rows.append((mark(study.arrow, color=BLUE, markerfacecolor="white"), f"worse than {study.edge:.3g}"))
    if study.failed and best_line:
        rows.append((mark("x", color=RED), "failed"))
    if best_line:
        rows.append((Line2D([], [], color=ORANGE, linewidth=1.6), "the best so far"))
    legend(axes, [row[0] for row in rows], [row[1] for row in rows], loc="center left", bbox_to_anchor=(1.0, 0.5))


def _ticks(axis: Axis) -> list[tuple[Any, str]]:
    if axis.choices:
        return [(choice, short(str(choice))) for choice in axis.choices]
    if not axis.log:
        return [(value, f"{value:.3g}") for value in np.linspace(axis.low, axis.high, 5)]
    first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
    tens = [10.0**power for power in range(first, last + 1)]
    return [(value, f"{value:g}") for value in tens if axis.low <= value <= axis.high] or [
        (value, f"{value:.2g}") for value in (axis.low, axis.high)
    ]


def _about(study: Study) -> str:
    complete = sum(point.complete for point in study.points)
    pruned = len(study.points) - complete
    parts = [f"{complete} complete", *([f"{pruned} pruned"] if pruned else [])]
    return ", ".join([*parts, *([f"{len(study.failed)} failed"] if study.failed else [])])
