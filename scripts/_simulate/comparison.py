"""Simulates comparisons of models with known accuracies, and prints their table in Markdown.

No model is trained: it draws at random which images each model gets right. Like real models, they agree on many images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from markdown_table import command_line, print_table
from scipy.special import ndtri

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import Comparison, Shared, compare_shared
from harness.evaluation.multiple import holm

COLUMNS = (
    "row",
    "n",
    "models",
    "some pair with p < 5 %, uncorrected",
    "corrected",
    "the 95 % interval covers",
    "width",
)


@dataclass(frozen=True)
class Row:
    """Models with known accuracies.

    Attributes:
        about: Description.
        n: Number of images.
        accuracies: True accuracy of each model.
        common: Share of the variance that an image's difficulty causes, equal for all models.
        group: Images in a group.
        of_group: Share of an image's variance that is equal within its group.
        repeats: Fits per model; their predictions are averaged.
    """

    about: str
    n: int
    accuracies: tuple[float, ...]
    common: float = 0.7
    group: int = 1
    of_group: float = 0.0
    repeats: int = 1


ROWS = {
    "equal": Row("4 equal models, 97 %", 949, (0.97,) * 4),
    "many": Row("10 equal models, 97 %", 949, (0.97,) * 10),
    "few": Row("4 equal models, 90 %", 35, (0.9,) * 4),
    "groups": Row("4 equal models, 90 %, groups of 5", 950, (0.9,) * 4, group=5, of_group=0.5),
    "repeats": Row("4 equal models, 90 %, 3 repeats", 300, (0.9,) * 4, repeats=3),
    "better": Row("95 and 92 %", 949, (0.95, 0.92)),
    "better-groups": Row("95 and 92 %, groups of 5", 950, (0.95, 0.92), group=5, of_group=0.5),
    "better-repeats": Row("95 and 92 %, 3 repeats", 300, (0.95, 0.92), repeats=3),
}


def simulate(row: Row, rng: np.random.Generator) -> list[Comparison]:
    """Draws the images of one row and compares each pair of models."""
    right = _right(row, rng)
    groups = np.arange(row.n) // row.group if row.group > 1 else None
    paths = ("",) * row.n
    pairs = combinations(range(len(row.accuracies)), 2)
    return [compare_shared(Shared(paths, right[:, pair], groups, row.repeats)) for pair in pairs]


def _right(row: Row, rng: np.random.Generator) -> Any:
    """Shares of correct predictions, (n, models)."""

    def normal(*columns: int) -> Any:
        number = -(-row.n // row.group)
        whole, own = rng.standard_normal((number, *columns)), rng.standard_normal((row.n, *columns))
        return row.of_group**0.5 * whole.repeat(row.group, 0)[: row.n] + (1 - row.of_group) ** 0.5 * own

    models = len(row.accuracies)
    hard = row.common**0.5 * normal(1, 1) + (1 - row.common) ** 0.5 * normal(models, row.repeats)
    return (hard < ndtri(np.array(row.accuracies))[:, None]).mean(2)


def summary(row: Row, repeats: int, seed: int = 0) -> dict[str, float]:
    """Shares of the repeats, in percent, and the mean width of an interval, in points."""
    rng = np.random.default_rng(seed)
    truth = [one - other for one, other in combinations(row.accuracies, 2)]
    found = [simulate(row, rng) for _ in range(repeats)]
    p = np.array([[pair.p for pair in pairs] for pairs in found])
    ends = np.array([[pair.interval for pair in pairs] for pairs in found])
    covers = (ends[..., 0] <= truth) & (truth <= ends[..., 1])
    return {
        "uncorrected": 100 * float((p < SIGNIFICANCE).any(1).mean()),
        "corrected": 100 * float(np.mean([(holm(each) < SIGNIFICANCE).any() for each in p])),
        "covers": 100 * float(covers.mean()),
        "width": 100 * float((ends[..., 1] - ends[..., 0]).mean()),
    }


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""

    def lines(_name: str, row: Row, options: Any) -> list[str]:
        shares = summary(row, options.repeats)
        numbers = [f"{shares[column]:.1f} %" for column in ("uncorrected", "corrected", "covers")]
        cells = [row.about, str(row.n), str(len(row.accuracies)), *numbers, f"{shares['width']:.1f}"]
        return [f"| {' | '.join(cells)} |"]

    print_table(command_line("comparison", __doc__, ROWS, 2000), arguments, ROWS, COLUMNS, lines)
