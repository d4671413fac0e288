"""The images of a report: first the errors, then examples of right predictions, until the page is full."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from harness.data.depth import Range
from harness.evaluation.scores import Indices
from harness.report.answers import Answers
from harness.report.texts import percent
from harness.report.thumbnails import Thumbnail, thumbnails_within
from harness.util.files import as_text

MOST_BYTES = 3_300_000  # the most bytes of all images on a page


@dataclass(frozen=True)
class Room:
    """The most images that a page may show.

    Attributes:
        errors: The number of wrong predictions.
        examples: The number of right predictions.
        images: The number of both together.
        suspects: The number of images whose label is probably wrong.
    """

    errors: int
    examples: int
    images: int
    suspects: int = 0


NOT_MADE_HERE = (
    "The images are not shown: this result was not made in this project, and its record could name any folder."
)
LEFT_OUT = "The images are left out of this file because of --no-images."
FULL = Room(900, 1000, 1000, 200)
QUICK = Room(100, 40, 140, 24)  # for the report at the end of a run, which must be fast


@dataclass
class Gallery:
    """The images to show.

    Attributes:
        items: Fields for the template, errors first.
        cells: Numbers of the cells of the confusion matrix that have at least one item.
        gone: The number of images that could not be read.
        notes: Sentences about what is left out.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    cells: set[int] = field(default_factory=set)
    gone: int = 0
    notes: list[str] = field(default_factory=list)


def gallery(
    answers: Answers,
    root: Path | None,
    value_range: Range | None = None,
    room: Room = FULL,
    step: Callable[[], object] = lambda: None,
    why: str = NOT_MADE_HERE,
    used: int = 0,
) -> Gallery:
    """Returns the images to show, with thumbnails.

    Args:
        answers: The predictions.
        root: The folder that the paths are relative to. None: no image may be shown, and errors are listed by name.
        value_range: The value range of images with more than 8 bits.
        room: The most images to show.
        step: Called after each image.
        why: The reason why no image may be shown.
        used: Bytes of other images on the page.
    """
    chosen = choose(answers, room if root is not None else dataclasses.replace(room, examples=0))
    images = Gallery()
    known: dict[str, Thumbnail | None] = {}
    if root is not None:
        known = thumbnails_within(MOST_BYTES - used, root, [answers.paths[i] for i in chosen], value_range, step)
        images.gone = sum(small is None for small in known.values())
        chosen = [i for i in chosen if answers.paths[i] in known or not answers.right[i]]
    for order, i in enumerate(chosen):
        cell = int(answers.cells[i])
        first = cell not in images.cells
        images.cells.add(cell)
        path = answers.paths[i]
        images.items.append(_item(answers, i, order, known.get(path), path in known and known[path] is None, first))
    images.notes = [*([] if root is not None else [why]), *_notes(answers, chosen, images, root is not None)]
    return images


def choose(answers: Answers, room: Room) -> list[int]:
    """Returns positions of the predictions to list: errors, the least probable true class first, then right ones.

    If there are too many errors, half of the room is for the worst errors. The cells of the matrix share the rest.
    Right predictions are taken from each cell in turn, the least confident first.
    """
    wrong, right = np.flatnonzero(~answers.right), np.flatnonzero(answers.right)
    worst = wrong[np.argsort(answers.of_true[wrong], kind="stable")]
    if len(worst) > room.errors:
        head, rest = worst[: room.errors // 2], worst[room.errors // 2 :]
        spread = _in_turn(rest, answers.cells[rest])[: room.errors - len(head)]
        worst = np.array([*head, *sorted(spread, key=lambda i: answers.of_true[i])], np.int64)
    unsure = right[np.argsort(answers.confidence[right], kind="stable")]
    examples = _in_turn(unsure, answers.cells[unsure])[: max(0, min(room.examples, room.images - len(worst)))]
    return [int(i) for i in (*worst, *examples)]


def _in_turn(positions: Indices, cells: Indices) -> Indices:
    """The positions, the first of each cell, then the second of each, and so on."""
    if not len(positions):
        return positions
    by_cell = np.argsort(cells, kind="stable")
    sorted_cells = cells[by_cell]
    starts = np.flatnonzero(np.diff(sorted_cells, prepend=sorted_cells[0] - 1))
    ranks = np.empty(len(cells), np.int64)
    ranks[by_cell] = np.arange(len(cells)) - np.repeat(starts, np.diff([*starts, len(cells)]))
    ordered: Indices = positions[np.argsort(ranks, kind="stable")]
    return ordered


def _item(answers: Answers, i: int, order: int, small: Thumbnail | None, gone: bool, first: bool) -> dict[str, Any]:
    label, said = int(answers.labels[i]), int(answers.said[i])
    return {
        "order": order,
        "cell": cell_id(label, said),
        "first": first,
        "right": label == said,
        "true": answers.classes[label],
        "said": answers.classes[said],
        "share": round(float(answers.confidence[i]), 6),
        "sure": percent(float(answers.confidence[i])),
        "of_true": percent(float(answers.of_true[i])),
        "path": Markup.escape(as_text(answers.paths[i])),  # relative to the folder of the images, so shown whole
        "fold": int(answers.folds[i]),
        "picture": small,
        "gone": gone,
    }


def cell_id(label: int, said: int) -> str:
    """Returns the fragment of the page's address that shows the images of a cell."""
    return f"cell-{label}-{said}"


def _notes(answers: Answers, chosen: Sequence[int], images: Gallery, may_show: bool) -> list[str]:
    """Sentences about what is left out."""
    wrong, right = int((~answers.right).sum()), int(answers.right.sum())
    listed = sum(not answers.right[i] for i in chosen)
    examples = len(chosen) - listed
    notes = []
    if images.gone:
        notes.append(f"{images.gone} of the {len(chosen)} images could not be read and are not shown.")
    if listed < wrong:
        notes.append(f"{listed:,} of the {wrong:,} errors are listed, to keep this file small.")
    if may_show and examples < right:
        verb = "is" if examples == 1 else "are"
        which = f"{examples:,} of the {right:,} right predictions {verb} listed, the least confident of each class"
        notes.append(f"{which}." if examples else "No right prediction is listed, to keep this file small.")
    return notes
