"""The sides of a comparison: runs, trials, tests or the champion, with their predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from harness.errors import DataError, UsageError
from harness.evaluation.accuracy import Accuracy
from harness.evaluation.alignment import Answers, answers_of, named_by_path
from harness.evaluation.comparison import mean_accuracy
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import Indices
from harness.runs.champion import named_so
from harness.runs.find import find_run
from harness.runs.record_parts import OPTIMISTIC, Status, leak_text
from harness.runs.records import RunRecord, TestRecord
from harness.runs.run_folder import RunFolder
from harness.training.repeats import fold_and_repeat
from harness.util.text import few

RUN, TRIAL, TEST, CHAMPION = "run", "trial", "test", "champion"


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison.

    Attributes:
        label: "A", "B", … in the order of the command line.
        kind: RUN, TRIAL, TEST or CHAMPION.
        name: To print.
        folder: Its run folder.
        status: Its status when it was read.
        leak: Says that it was evaluated on training images, so its accuracy is too good. Empty if no leak is known.
    """

    label: str
    kind: str
    name: str
    folder: RunFolder
    status: Status
    leak: str = ""

    @property
    def record(self) -> RunRecord:
        return self.folder.record

    @cached_property
    def caveats(self) -> tuple[str, ...]:
        """Remarks that must be shown beside its accuracy."""
        fast = "FAST DEV RUN: trained on two batches" if self.record.fast_dev_run else ""
        optimistic = OPTIMISTIC.removeprefix("; ") if self.is_optimistic else ""
        near = self.record.near_copies_text
        return tuple(part for part in (self.leak, near, optimistic, fast, self.progress) if part)

    @property
    def progress(self) -> str:
        """Says which part of the run is missing; empty for a complete run."""
        record, status = self.record, self.status
        if isinstance(record, TestRecord):
            return "" if status is Status.FINISHED else f"UNFINISHED: {status}"
        done, planned = len(record.folds), len(record.splits)
        of = f"{done} of {planned} {'folds' if planned != 1 else 'fold'}"
        if status is Status.PRUNED:
            return f"PRUNED after {of}"
        if status is not Status.FINISHED or done < planned:
            return f"UNFINISHED: {of}, {status}"
        folds = record.experiment.get("folds")
        if not isinstance(folds, int):
            return ""
        trained = {fold_and_repeat(entry.fold, folds)[0] for entry in record.folds}
        if not 0 < len(trained) < folds:
            return ""
        return f"only fold {few([*map(str, sorted(trained))])} of {folds}"

    @property
    def is_optimistic(self) -> bool:
        """Whether each fold's epoch was chosen on its validation images."""
        return OPTIMISTIC in self.record.caveat

    def describe(self) -> str:
        """Returns the kind and the name of this side, such as "run 20261127-101500-7f1b of quickstart"."""
        if isinstance(self.record, TestRecord):
            file = Path(self.record.checkpoint.file)
            of_run = file.parent.name == "checkpoints" and file.parent.parent.name
            return f"test {self.folder.id} of {f'{of_run}/{file.name}' if of_run else file}"
        text = f"{self.kind} {self.name}"
        return text if self.kind == TRIAL else f"{text} of {self.record.name}"

    def testable(self) -> str:
        """The argument of `harness test` for its model."""
        if isinstance(self.record, TestRecord):
            return self.record.checkpoint.file
        return CHAMPION if self.kind == CHAMPION else self.folder.typed


@dataclass(frozen=True, eq=False)
class Answered:
    """A side with its predictions.

    Attributes:
        side: The side.
        answers: One row per image.
        by_path: Why its images are matched by their paths; empty if they are matched by their pixels.
    """

    side: Side
    answers: Answers
    by_path: str = ""

    def accuracy_on(self, rows: Indices, groups: Indices | None) -> Accuracy:
        """Its accuracy on the images in these rows."""
        return mean_accuracy(self.answers.right[rows], groups, self.answers.scale)


def find_sides(named: Sequence[str], runs: Path) -> list[Side]:
    """Finds each by its folder, its id, the end of its id, the short name of a trial, or "champion".

    Raises UsageError if one does not exist or is named twice, or if there are fewer than two.
    """
    if len(named) < 2:
        raise UsageError(
            "there is nothing to compare with", f"{len(named)} was named, but two are needed", "harness compare A B"
        )
    sides: list[Side] = []
    for number, typed in enumerate(named):
        side = _find(typed, runs, label_of(number))
        for typed_before, other in zip(named, sides, strict=False):
            if _is_same(side.folder, other.folder):
                raise UsageError(
                    f"{typed_before} and {typed} are the same {'run' if other.kind == CHAMPION else other.kind}",
                    f"both are {other.describe()}",
                    "harness list, for another one",
                )
        sides.append(side)
    return sides


def label_of(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    first, last = divmod(number, len(ascii_uppercase))
    return (label_of(first - 1) if first else "") + ascii_uppercase[last]


def answers_of_sides(sides: Sequence[Side]) -> list[Answered]:
    """Reads the predictions of each side. Class indices are those of the first side.

    Images are matched by their pixels. If a side has no fingerprints of its images, they are matched by their paths
    with a side that has the same data.

    Raises:
        UsageError: A side has no predictions.
        DataError: The classes differ, or images of equal paths may differ.
    """
    _require_same_classes(sides)
    classes = sides[0].folder.classes
    read: list[Answered | Predictions] = []
    for side in sides:
        predictions = _predictions(side)
        known = predictions.fingerprints is not None
        read.append(Answered(side, answers_of(predictions, classes)) if known else predictions)
    without = {i: part for i, part in enumerate(read) if isinstance(part, Predictions)}
    if not without:
        return [part for part in read if isinstance(part, Answered)]
    if len(without) == len(sides):
        named = named_by_path([part.paths for part in without.values()])
        same = {i: (0, images) for i, images in enumerate(named)}
    else:
        same = {i: _named_by_partner(i, part, sides, {*without}) for i, part in without.items()}
    done = []
    for i, part in enumerate(read):
        if isinstance(part, Answered):
            done.append(part)
            continue
        partner, images = same[i]
        other = 1 if i == partner else partner  # all are matched with the first, and the first with the second
        why = _same_data(sides[i], sides[other])
        if not why:
            raise _unmatched(sides[i], sides[other])
        done.append(Answered(sides[i], answers_of(part, classes, images), why))
    return done


def differing_settings(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """Fields of the experiments that differ between sides -> the value of each side; None for a missing field."""
    own = {"name", "trackers", "workers", "cache", "min_accuracy", "test_data"}  # fields that do not change predictions
    names = dict.fromkeys(name for side in sides for name in side.record.experiment if name not in own)
    missing = object()
    differing: dict[str, list[Any]] = {}
    for name in names:
        values = [side.record.experiment.get(name, missing) for side in sides]
        known = [value for value in values if value is not missing]
        if any(value != known[0] for value in known):
            differing[name] = [None if value is missing else value for value in values]
    return differing


def common_test(sides: Sequence[Side]) -> str:
    """The commands that test two sides on the same images."""
    commands = [f"harness test {side.testable()} --data FOLDER" for side in sides[:2]]
    return f"{' and '.join(commands)}, with the same FOLDER, then harness compare TEST_A TEST_B"


def _find(typed: str, runs: Path, label: str) -> Side:
    champion = named_so(typed)
    folder = find_run(typed, runs) if champion is None else RunFolder.open(champion.run)
    record, study = folder.record, folder.record.study
    kind, name = TEST if folder.is_test else RUN, folder.id
    if champion is not None:
        kind, name = CHAMPION, f"{champion.number}, run {folder.id}"
    elif study is not None:
        kind, name = TRIAL, f"study-{study.name}/trial-{study.trial:03d}"
    return Side(label, kind, name, folder, folder.status, leak_text(record.leaked, record.n).removeprefix("; "))


def _is_same(one: RunFolder, other: RunFolder) -> bool:
    ids = one.record.id, other.record.id
    return one.path.resolve() == other.path.resolve() or (ids[0] is not None and ids[0] == ids[1])


def _predictions(side: Side) -> Predictions:
    predictions = RunFolder(
        side.folder.path, side.record
    ).predictions()  # a new RunFolder, because a RunFolder keeps its predictions in memory
    if not len(predictions):
        why = "its test has not ended" if side.kind == TEST else "none of its folds has ended"
        raise UsageError(f"{side.folder.path} has no predictions to compare", why, "harness list")
    return predictions


def _require_same_classes(sides: Sequence[Side]) -> None:
    """Raises DataError if the names of the classes differ. Their order may differ."""
    first = sides[0]
    for side in sides[1:]:
        if {*side.folder.classes} != {*first.folder.classes}:
            raise DataError(
                f"{first.label} and {side.label} have different classes",
                f"{first.label} is {first.describe()}: {few(first.folder.classes, 6)}; "
                f"{side.label} is {side.describe()}: {few(side.folder.classes, 6)}",
                "harness list, for runs of the same classes",
            )


def _named_by_partner(
    at: int, predictions: Predictions, sides: Sequence[Side], without: set[int]
) -> tuple[int, Indices]:
    """Returns the position of a side with fingerprints and the same data, and its fingerprints for `predictions`."""
    partners = [i for i in range(len(sides)) if i not in without]
    partner = next((i for i in partners if _same_data(sides[at], sides[i])), partners[0])
    whole = _predictions(sides[partner])
    assert whole.fingerprints is not None
    known = dict(zip(whole.paths, whole.fingerprints.tolist(), strict=True))
    images = [known.get(path, -1 - number) for number, path in enumerate(predictions.paths)]
    return partner, np.array(images, np.int64)


def _same_data(one: Side, other: Side) -> str:
    """Why equal paths of the two are the same images, as a text; empty if they may differ."""
    if one.record.data.digest == other.record.data.digest:
        return "their data have the same digest"
    same_folder = one.record.data.folder == other.record.data.folder
    if same_folder and [*one.record.data.classes] == [*other.record.data.classes]:
        return "their folder is the same (an image that was edited between the runs counts as the same image)"
    return ""


def _unmatched(older: Side, other: Side) -> DataError:
    """The error for a side without fingerprints of its images."""
    labels = " and ".join(sorted([older.label, other.label]))
    return DataError(
        f"the images of {labels} cannot be matched",
        f"{older.label} has no fingerprints of its images, like all runs of earlier versions, and its data differ from "
        f"{other.label}'s in digest and folder: {older.record.data.folder}, not {other.record.data.folder}",
        common_test([older, other]),
    )


def as_dict(side: Side) -> dict[str, Any]:
    """A side as plain values, for JSON."""
    record = side.record
    return {
        "label": side.label,
        "kind": side.kind,
        "name": side.name,
        "id": side.folder.id,
        "folder": str(side.folder.path),
        "status": side.status.value,
        "folds": [entry.fold for entry in record.folds],
        "checkpoint": dataclasses.asdict(record.checkpoint) if isinstance(record, TestRecord) else None,
        "data": {"folder": record.data.folder, "digest": record.data.digest, "images": record.data.images},
        "leaked": record.leaked,
    }
