"""Simulates two sets of images with equal or different distributions, and checks the AUC of a classifier between them.

Features are normal. *pooled* is the AUC of the scores of all folds together, which `harness` does not use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markdown_table import command_line, print_table
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from harness.evaluation.cross_fit import cross_fit_sides, fit_head, one_thread
from harness.evaluation.two_samples import FOLDS, STRENGTHS, tell_apart

COLUMNS = (
    *("row", "images", "features", "mean AUC", "pooled"),
    *("interval above 0.5", "below 0.5", "covers the mean AUC", "mean width", "repeats"),
)


@dataclass(frozen=True)
class Row:
    """Two data sets.

    Attributes:
        about: Description.
        n: Number of images in each set.
        features: Number of features.
        shift: Difference between the sets in the first feature, in standard deviations.
        copies: Number of copies of each image; they form a group.
    """

    about: str
    n: tuple[int, int]
    features: int
    shift: float = 0.0
    copies: int = 1


ROWS = {
    "test": Row("equal", (35, 949), 10),
    "wide": Row("equal", (35, 949), 64),
    "small": Row("equal", (15, 20), 10),
    "few": Row("equal", (15, 949), 10),
    "least": Row("equal", (3, 949), 10),
    "equal": Row("equal", (200, 200), 20),
    "copies": Row("equal, every image 3 times", (60, 300), 10, copies=3),
    "shifted": Row("1 standard deviation apart", (35, 949), 10, 1.0),
    "shifted-small": Row("2 standard deviations apart", (15, 20), 10, 2.0),
    "shifted-equal": Row("half a standard deviation apart", (200, 200), 20, 0.5),
}


def simulate(row: Row, number: int) -> tuple[float, float, float, float]:
    """Returns the AUC, both ends of its interval, and the pooled AUC."""
    rng = np.random.default_rng(number)
    sides = [np.repeat(rng.normal(size=(n // row.copies, row.features)), row.copies, axis=0) for n in row.n]
    sides[1][:, 0] += row.shift
    labels = np.repeat([0, 1], [len(side) for side in sides])
    members = np.arange(len(labels)) // row.copies
    groups = (members[labels == 0], members[labels == 1]) if row.copies > 1 else None
    auc = tell_apart(sides[0], sides[1], number, groups)
    if auc is None:
        raise ValueError(f"{row.n} are too few")
    return auc.value, *auc.interval, _pooled(np.concatenate(sides), labels, members, number)


def _pooled(features: Any, labels: Any, members: Any, number: int) -> float:
    scores = np.zeros(len(labels))
    folds = min(FOLDS, len(np.unique(members[labels == 0])))
    with one_thread():
        for training, judged in cross_fit_sides(labels, members, folds, number):
            some: Any = {"most": len(labels), "is_balanced": True, "strengths": STRENGTHS}
            head = fit_head(features, labels, members, training, number, **some)
            if head is not None:
                scores[judged] = head.scores(features, judged)
    return float(roc_auc_score(labels, scores))


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""

    def lines(name: str, row: Row, options: Any) -> Iterator[str]:
        repeats = tqdm(range(options.repeats), desc=name, disable=None)
        value, low, high, pooled = np.array([simulate(row, number) for number in repeats]).T
        covers = (low <= value.mean()) & (value.mean() <= high)
        cells = [
            *(
                row.about,
                f"{row.n[0]} and {row.n[1]}",
                str(row.features),
                f"{value.mean():.3f}",
                f"{pooled.mean():.3f}",
            ),
            *(f"{100 * (low > 0.5).mean():.1f} %", f"{100 * (high < 0.5).mean():.1f} %"),
            *(f"{100 * covers.mean():.1f} %", f"{(high - low).mean():.2f}", str(options.repeats)),
        ]
        yield f"| {' | '.join(cells)} |"

    print_table(command_line("alike", __doc__, ROWS, 400), arguments, ROWS, COLUMNS, lines)
