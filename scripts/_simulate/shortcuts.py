"""Simulates file facts that depend on the class or not, and counts how often a shortcut is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markdown_table import command_line, print_table
from tqdm import tqdm

from harness.evaluation.shortcuts import Shortcut, find_shortcut

COLUMNS = ("row", "n", "classes", "accuracy less baseline, points", "found", "by a value", "repeats")


@dataclass(frozen=True)
class Row:
    """A data set.

    Attributes:
        about: Description.
        n: Number of images.
        shares: Share of each class.
        copies: Number of copies of each image; they form a group.
        told: Share of images of the last class whose format depends on the class; the others have a random format.
        is_simple: Whether there is one fact with two values instead of seven.
    """

    about: str
    n: int
    shares: tuple[float, ...]
    copies: int = 1
    told: float = 0.0
    is_simple: bool = False


ROWS = {
    "few": Row("nothing", 40, (0.5, 0.5)),
    "two": Row("nothing", 949, (0.5, 0.5)),
    "simple": Row("nothing, one fact with two values", 949, (0.5, 0.5), is_simple=True),
    "simple-few": Row("nothing, one fact with two values", 60, (0.5, 0.5), is_simple=True),
    "unequal": Row("nothing", 949, (0.9, 0.1)),
    "six": Row("nothing", 600, (1 / 6,) * 6),
    "copies": Row("nothing, every image 6 times", 600, (0.5, 0.5), copies=6),
    "told": Row("all of a class are PNG", 300, (0.5, 0.5), told=1.0),
    "told-small": Row("all of a class of 2 % are PNG", 2000, (0.49, 0.49, 0.02), told=1.0),
    "told-some": Row("20 % of a class are PNG for that reason", 949, (0.5, 0.5), told=0.2),
}


def simulate(row: Row, number: int) -> Shortcut:
    """Simulates one data set, and returns what is found."""
    rng = np.random.default_rng(number)
    n = row.n // row.copies
    labels = rng.choice(len(row.shares), n, p=row.shares)
    is_told = (labels == len(row.shares) - 1) & (rng.random(n) < row.told)
    facts: dict[str, Any] = {"format": np.where(is_told | (rng.random(n) < 0.3), "PNG", "JPEG")}
    if not row.is_simple:
        facts |= {
            "mode": rng.choice(["RGB", "L"], n, p=[0.95, 0.05]),
            "camera": rng.choice([*(f"camera {i}" for i in range(30)), ""], n),
            "width": rng.choice([640, 800, 1024, *range(300, 500)], n, p=[0.2] * 3 + [0.002] * 200),
            "height": rng.integers(200, 1200, n),
            "quality": np.where(rng.random(n) < 0.3, np.nan, rng.integers(60, 100, n)),
            "x_resolution": rng.lognormal(4, 1, n),
        }
    groups = np.repeat(np.arange(n), row.copies) if row.copies > 1 else None
    columns = {name: np.repeat(column, row.copies) for name, column in facts.items()}
    found = find_shortcut(columns, np.repeat(labels, row.copies), groups, number)
    if found is None:
        raise ValueError(f"{row.n} are too few")
    return found


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""

    def lines(name: str, row: Row, options: Any) -> Iterator[str]:
        repeats = tqdm(range(options.repeats), desc=name, disable=None)
        found = [simulate(row, number) for number in repeats]
        gain = np.mean([each.accuracy.value - each.baseline for each in found])
        shares = [100 * np.mean(flags) for flags in ([each.is_found for each in found], [*map(_by_value, found)])]
        cells = [row.about, str(row.n), str(len(row.shares)), f"{100 * gain:+.1f}"]
        yield f"| {' | '.join([*cells, *(f'{share:.1f} %' for share in shares), str(len(found))])} |"

    print_table(command_line("shortcuts", __doc__, ROWS, 1000), arguments, ROWS, COLUMNS, lines)


def _by_value(found: Shortcut) -> bool:
    return bool(found.values)
