"""Compares runs, trials, tests and the champion on the images that all of them predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError
from harness.evaluation.accuracy import SIGNIFICANCE, Accuracy
from harness.evaluation.alignment import Alignment, align
from harness.evaluation.comparison import compare_shared, shared_answers
from harness.evaluation.multiple import holm
from harness.evaluation.scores import Indices
from harness.runs.records import TestRecord
from harness.util.text import short_repr
from harness.workflows.compare.notes import notes_of
from harness.workflows.compare.pair import Pair
from harness.workflows.compare.pair import as_dict as pair_dict
from harness.workflows.compare.sides import (
    Answered,
    Side,
    answers_of_sides,
    common_test,
    differing_settings,
    find_sides,
)
from harness.workflows.compare.sides import as_dict as side_dict


@dataclass(frozen=True, eq=False)
class Disagreement:
    """An image for which the sides predict different classes, or differ in their share of right predictions.

    Attributes:
        path: Its path in the first side.
        true: Its class.
        said: The class that each side predicts.
        confidence: The probability of the class that each side predicts.
        right: The share of right predictions of each side.
        row: Its position among the shared images.
    """

    path: str
    true: str
    said: tuple[str, ...]
    confidence: tuple[float, ...]
    right: tuple[float, ...]
    row: int


@dataclass(frozen=True, repr=False)
class RunComparison:
    """The comparison of all sides, on the images that all of them predicted."""

    answered: tuple[Answered, ...]
    found: Alignment

    @property
    def n(self) -> int:
        """Number of shared images."""
        return len(self.found)

    @property
    def sides(self) -> tuple[Side, ...]:
        return tuple(each.side for each in self.answered)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sides[0].folder.classes

    @cached_property
    def accuracies(self) -> tuple[Accuracy, ...]:
        """The accuracy of each side, on the shared images."""
        return tuple(
            e.accuracy_on(rows, self.found.groups) for e, rows in zip(self.answered, self.found.rows, strict=True)
        )

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of sides. Their p-values are corrected for the number of pairs (Holm)."""
        models = [each.answers for each in self.answered]
        places = [*combinations(range(len(models)), 2)]
        compared = [compare_shared(shared_answers(models, self.found, i, j)) for i, j in places]
        corrected = holm(np.array([each.p for each in compared]))
        rows = zip(places, compared, corrected.tolist(), strict=True)
        return tuple(Pair(self.sides[i], self.sides[j], each, p, len(places)) for (i, j), each, p in rows)

    @cached_property
    def settings(self) -> dict[str, list[Any]]:
        """Settings that differ -> the value of each side."""
        return differing_settings(self.sides)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the numbers, one line each."""
        return notes_of(self.answered, self.found, self.pairs)

    @cached_property
    def disputed(self) -> Indices:
        """Positions of the images for which the sides disagree.

        They are sorted by the difference between the probabilities of the true class, the largest first.
        """
        right, said = self._columns("right"), self._columns("said")
        differs = (right != right[:, :1]).any(1) | (said != said[:, :1]).any(1)
        places = np.flatnonzero(differs)
        chances = self._columns("of_true_class")[places]
        gaps = chances.max(1, initial=0) - chances.min(1, initial=1)
        order: Indices = places[np.argsort(-gaps.round(9), kind="stable")]
        return order

    def disagreements(self, most: int | None = None) -> Iterator[Disagreement]:
        """The images for which the sides disagree, in the order of `disputed`."""
        chosen, models = self.disputed[:most], [each.answers for each in self.answered]
        columns = [
            [getattr(m, name)[rows[chosen]].tolist() for m, rows in zip(models, self.found.rows, strict=True)]
            for name in ("said", "confidence", "right")
        ]
        said, confidence, right = (list(zip(*column, strict=True)) for column in columns)
        first, rows = models[0], self.found.rows[0][chosen].tolist()
        for k, row in enumerate(rows):
            names = tuple(self.classes[i] for i in said[k])
            true = self.classes[int(first.labels[row])]
            yield Disagreement(first.paths[row], true, names, confidence[k], right[k], int(chosen[k]))

    def to_dict(self) -> dict[str, Any]:
        """All results as plain values, for `--json`; docs/numbers.md describes the fields."""
        return {
            "n": self.n,
            "groups": self.accuracies[0].groups,
            "classes": list(self.classes),
            "matched_by": "paths" if any(each.by_path for each in self.answered) else "pixels",
            "level": SIGNIFICANCE,
            "sides": [self._side(i) for i in range(len(self.sides))],
            "pairs": [pair_dict(pair) for pair in self.pairs],
            "disagreements": [
                {
                    "path": each.path,
                    "true": each.true,
                    "said": list(each.said),
                    "confidence": list(each.confidence),
                    "right": list(each.right),
                }
                for each in self.disagreements()
            ],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {row['accuracy']}" for name, row in zip("ABCDEFGHIJ", self._rows(), strict=False))
        return short_repr(self, f"{rows} on {self.n} shared images")

    def _repr_html_(self) -> str:
        from harness.report.cards import table

        pairs = [
            {"pair": f"{pair.first.label} - {pair.second.label}"}
            | {"difference": f"{100 * pair.comparison.difference:+.1f} points"}
            | {"95 % interval": " to ".join(f"{100 * bound:+.1f}" for bound in pair.comparison.interval)}
            | {"p, corrected for all pairs": f"{pair.p:.2g}"}
            for pair in self.pairs
        ]
        notes = [{"note": note} for note in self.notes]
        return table(self._rows(), f"{self.n} shared images") + table(pairs) + table(notes)

    def _rows(self) -> list[dict[str, str]]:
        return [
            {"": side.label, "name": side.name, "accuracy": f"{100 * found.value:.1f} %"}
            | {"95 % interval": " to ".join(f"{100 * bound:.1f}" for bound in found.interval)}
            for side, found in zip(self.sides, self.accuracies, strict=True)
        ]

    def _side(self, i: int) -> dict[str, Any]:
        each, accuracy = self.answered[i], self.accuracies[i]
        left_out = [
            {
                "other": self.sides[reason.other].label,
                "not_predicted": reason.not_predicted,
                "other_pixels": reason.other_pixels,
                "other_class": reason.other_class,
            }
            for reason in self.found.left_out[i]
        ]
        return {
            **side_dict(each.side),
            "accuracy": accuracy.value,
            "interval": list(accuracy.interval),
            "caveats": list(each.side.caveats),
            "predicted": len(each.answers),
            "predictions_per_image": each.answers.most,
            "left_out": left_out,
            "settings": {name: values[i] for name, values in self.settings.items()},
        }

    def _columns(self, name: str) -> Any:
        """(n, sides) values of one array of the answers."""
        return np.stack([getattr(e.answers, name)[r] for e, r in zip(self.answered, self.found.rows, strict=True)], 1)


def compare_runs(named: Sequence[str], runs: Path = Path("runs"), *, allow_leak: bool = False) -> RunComparison:
    """Compares two or more results on the images that all of them predicted. Trains and writes nothing.

    Args:
        named: Folders, ids or ends of ids of runs, trials and tests; short names of trials; "champion".
        runs: The folder of all runs.
        allow_leak: Whether to continue if a side was evaluated on its training images.

    Raises:
        UsageError: One does not exist, has no predictions, or is named twice.
        DataError: The classes differ, no image is shared, or a side was trained on its images.
    """
    sides = find_sides(named, runs)
    answered = [_with_leak(each, sides) for each in answers_of_sides(sides)]
    if not allow_leak:
        _require_unseen(answered)
    found = align([each.answers for each in answered])
    if not len(found):
        raise _nothing_shared(answered, found)
    return RunComparison(tuple(answered), found)


def _with_leak(each: Answered, sides: Sequence[Side]) -> Answered:
    """Marks a test of an earlier version that has a leak, because that version did not look for leaks."""
    side, record = each.side, each.side.record
    trained_on = record.experiment.get("data")
    if side.leak or not each.by_path or not isinstance(record, TestRecord) or trained_on is None:
        return each
    runs = [other for other in sides if not isinstance(other.record, TestRecord)]
    if not any(trained_on == other.record.experiment.get("data") for other in runs):
        return each
    leak = f"LEAK: its model was trained on {trained_on}, so its accuracy is too good"
    return dataclasses.replace(each, side=dataclasses.replace(side, leak=leak))


def _require_unseen(answered: Sequence[Answered]) -> None:
    for side in (each.side for each in answered):
        if side.leak:
            raise DataError(
                f"{side.label} was evaluated on images that it was trained on",
                f"{side.describe()}: {side.leak}",
                f"harness test {side.testable()} --data FOLDER, on images that no model was trained on; "
                "or --allow-leak, which marks the numbers",
            )


def _nothing_shared(answered: Sequence[Answered], found: Alignment) -> DataError:
    changed = sum(reason.other_pixels for reason in found.left_out[0])
    parts = [f"{e.side.label} has {len(e.answers)} images of {e.side.record.data.folder}" for e in answered]
    if changed:
        parts.append(f"{changed} have the same path but other pixels, so the files were changed between the runs")
    who = " and ".join(e.side.label for e in answered) if len(answered) == 2 else f"these {len(answered)}"
    return DataError(f"{who} have no image in common", "; ".join(parts), common_test([each.side for each in answered]))
