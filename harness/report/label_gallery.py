"""Images of a run whose label is probably wrong, by its out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from harness.data.depth import Range
from harness.evaluation.label_suspects import find_label_suspects
from harness.evaluation.scores import Indices
from harness.report.texts import percent
from harness.report.thumbnails import thumbnails_within
from harness.runs.run_folder import RunFolder
from harness.util.files import as_text

MOST_BYTES = 500_000  # of the pictures


@dataclass(frozen=True)
class LabelGallery:
    """What is shown of the label suspects.

    Attributes:
        items: For the template, the most suspicious first.
        suspects: Number of all suspects.
        images: Number of images that were looked at.
        repeats: The largest number of predictions of an image, whose mean is used.
        size: Characters of the pictures.
    """

    items: list[dict[str, Any]]
    suspects: int
    images: int
    repeats: int
    size: int


def label_gallery(
    folder: RunFolder,
    root: Path | None,
    value_range: Range | None = None,
    most: int = 200,
    step: Callable[[], object] = lambda: None,
) -> LabelGallery | None:
    """Returns the suspects to show; None if there are none, and for a test.

    Labels of test images are left alone: if they were changed where this model disagrees, the test would favour the
    model that it judges.

    Args:
        folder: Of the run.
        root: The folder that the paths begin in; None: no image may be shown, and suspects are listed by name.
        value_range: Of images with more than 8 bits.
        most: Number of suspects to show.
        step: Called after each image.

    Raises:
        UsageError: A file of the run is damaged.
    """
    if folder.is_test:
        return None
    paths, labels, means, repeats = mean_predictions(folder)
    found = find_label_suspects(labels, means)
    if not len(found):
        return None
    chosen = [int(i) for i in found.indices[:most]]
    known = {}
    if root is not None:
        known = thumbnails_within(MOST_BYTES, root, [paths[i] for i in chosen], value_range, step)
    items = [
        {
            "label": folder.classes[int(labels[i])],
            "likely": folder.classes[int(found.likely[rank])],
            "given": percent(float(found.given_probability[rank])),
            "sure": percent(float(found.likely_probability[rank])),
            "path": Markup.escape(as_text(paths[i])),  # below the folder of the images: all of it may be shown
            "picture": known.get(paths[i]),
            "gone": paths[i] in known and known[paths[i]] is None,
        }
        for rank, i in enumerate(chosen)
    ]
    size = sum(len(small.address) for small in known.values() if small is not None)
    return LabelGallery(items, len(found), len(paths), repeats, size)


def mean_predictions(folder: RunFolder) -> tuple[list[str], Indices, np.ndarray[Any, np.dtype[np.float32]], int]:
    """The out-of-fold predictions of the folds that the record counts, one row an image.

    Returns:
        The N paths, (N,) labels, (N, K) mean probabilities over the repeats, and the largest number of repeats. The
        probabilities have 32 bits: with 100,000 images of 1,000 classes they take 0.4 GB.

    Raises:
        UsageError: A file of the run is damaged.
    """
    folds = [entry.fold for entry in folder.record.folds]
    rows: dict[str, int] = {}
    for fold in folds:
        for path in folder.predictions(fold).paths:
            rows.setdefault(path, len(rows))
    sums = np.zeros((len(rows), len(folder.classes)), np.float32)
    labels, counts = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for fold in folds:
        table = folder.predictions(fold)
        at = np.array([rows[path] for path in table.paths], np.int64)
        sums[at] += table.probabilities
        labels[at] = table.labels
        counts[at] += 1
    sums /= np.maximum(counts, 1)[:, None]
    return list(rows), labels, sums, int(counts.max(initial=0))
