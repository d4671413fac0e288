"""Images of a run whose label is probably wrong, according to its out-of-fold predictions."""

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

MOST_BYTES = 500_000  # the most bytes of the images


@dataclass(frozen=True)
class LabelGallery:
    """The label suspects to show.

    Attributes:
        items: Fields for the template, the most suspicious first.
        suspects: The number of all suspects.
        images: The number of checked images.
        repeats: The largest number of predictions of an image. Their mean is used.
        size: The size of the images in characters.
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
    """Returns the suspects to show, or None if there are none or the folder is of a test.

    A test has no suspects. If test labels were changed where this model disagrees, the test would favour this model.

    Args:
        folder: The folder of the run.
        root: The folder that the paths are relative to. None: no image may be shown, and suspects are listed by name.
        value_range: The value range of images with more than 8 bits.
        most: The most suspects to show.
        step: Called after each image.

    Raises:
        UsageError: A file of the run is damaged.
    """
    if folder.is_test:
        return None
    paths, labels, means, repeats = mean_predictions(folder)
    suspects = find_label_suspects(labels, means)
    if not len(suspects):
        return None
    chosen = [int(i) for i in suspects.indices[:most]]
    known = {}
    if root is not None:
        known = thumbnails_within(MOST_BYTES, root, [paths[i] for i in chosen], value_range, step)
    items = [
        {
            "label": folder.classes[int(labels[i])],
            "likely": folder.classes[int(suspects.likely[rank])],
            "given": percent(float(suspects.given_probability[rank])),
            "sure": percent(float(suspects.likely_probability[rank])),
            "path": Markup.escape(as_text(paths[i])),  # relative to the folder of the images, so shown whole
            "picture": known.get(paths[i]),
            "gone": paths[i] in known and known[paths[i]] is None,
        }
        for rank, i in enumerate(chosen)
    ]
    size = sum(len(small.address) for small in known.values() if small is not None)
    return LabelGallery(items, len(suspects), len(paths), repeats, size)


def mean_predictions(folder: RunFolder) -> tuple[list[str], Indices, np.ndarray[Any, np.dtype[np.float32]], int]:
    """Returns the out-of-fold predictions of the folds in the record, one row per image.

    Returns:
        The N paths, (N,) labels, (N, K) mean probabilities over the repeats, and the largest number of repeats. The
        probabilities are float32, to save memory: 100,000 images of 1,000 classes take 0.4 GB.

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
