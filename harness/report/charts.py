"""Charts as geometry: the positions of lines, dots and texts. The template turns them into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 360.0, 250.0  # in units of the drawing, which are pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 40.0
MOST_POINTS = 240  # the most points of a line; more would not be visible


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value. A value outside the scale is at its end."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        value = math.log10(max(value, self.low)) if self.log else value
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


@dataclass
class Chart:
    """One chart: two scales with their ticks, and the marks between them in the order of drawing.

    Attributes:
        title: The title above the chart, also for screen readers.
        about: One sentence that describes what the chart shows.
        x: The horizontal scale.
        y: The vertical scale.
        x_ticks: Pairs (value, text).
        y_ticks: Pairs (value, text).
        marks: Dictionaries with `kind`: line, dot, bar, rule or text.
    """

    title: str
    about: str
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    width: float = WIDTH
    height: float = HEIGHT
    marks: list[dict[str, Any]] = field(default_factory=list)
    key: list[tuple[str, str]] = field(default_factory=list)  # pairs (CSS class of a mark, its meaning)

    def line(self, points: Sequence[tuple[float, float]], look: str) -> None:
        """Adds a line through points, in order. Leaves out points if there are more than MOST_POINTS."""
        step = max(1, math.ceil(len(points) / MOST_POINTS))
        visible = [*points[::step], *(points[-1:] if (len(points) - 1) % step else [])]
        if len(visible) == 1:
            self.dot(*visible[0], look)
            return
        text = " ".join(f"{self.x.at(x)},{self.y.at(y)}" for x, y in visible)
        self.marks.append({"kind": "line", "points": text, "look": look})

    def dot(self, x: float, y: float, look: str, radius: float = 3.5, says: str = "") -> None:
        """Adds a dot. `says` is its tooltip."""
        place = {"x": self.x.at(x), "y": self.y.at(y)}
        self.marks.append({"kind": "dot", "look": look, "r": radius, "says": says, **place})

    def rule(self, start: tuple[float, float], end: tuple[float, float], look: str) -> None:
        """Adds a straight line between two points."""
        places = {
            "x1": self.x.at(start[0]),
            "y1": self.y.at(start[1]),
            "x2": self.x.at(end[0]),
            "y2": self.y.at(end[1]),
        }
        self.marks.append({"kind": "rule", "look": look, **places})

    def bar(self, x: tuple[float, float], y: tuple[float, float], look: str) -> None:
        """Adds a box between two corners."""
        left, right = sorted(self.x.at(value) for value in x)
        top, bottom = sorted(self.y.at(value) for value in y)
        box = {"x": left, "y": top, "w": round(right - left, 1), "h": round(bottom - top, 1)}
        self.marks.append({"kind": "bar", "look": look, **box})

    def text(self, x: float, y: float, text: str, anchor: str = "middle", dy: float = 0.0) -> None:
        """Adds a text at a point."""
        place = {"x": self.x.at(x), "y": round(self.y.at(y) + dy, 1), "anchor": anchor}
        self.marks.append({"kind": "text", "text": text, **place})

    @property
    def frame(self) -> dict[str, float]:
        """The edges of the drawing area."""
        return {"left": self.x.start, "right": self.x.end, "top": self.y.end, "bottom": self.y.start}


def horizontal(low: float, high: float, width: float = WIDTH, left: float = LEFT, log: bool = False) -> Scale:
    """Returns the scale along the bottom of a chart."""
    return Scale(low, high, left, width - RIGHT, log)


def vertical(low: float, high: float, height: float = HEIGHT) -> Scale:
    """Returns the scale along the left of a chart, upwards."""
    return Scale(low, high, height - BOTTOM, TOP)


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Returns about `most` round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= most:
            step *= factor
            break
    step = max(1.0, round(step)) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def power_ticks(low: float, high: float) -> list[float]:
    """Returns the powers of ten from `low` to `high`, or both ends if there are fewer than two powers."""
    powers = [10.0**i for i in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]
    if len(powers) > 5:
        powers = powers[:: math.ceil(len(powers) / 5)]
    return powers if len(powers) > 1 else [low, high]


def short_number(value: float) -> str:
    """Returns the text of a value beside a scale."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
