"""`predictions.csv`: the table of every image's prediction, written and read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from harness.evaluation.accuracy import Prediction
from harness.util.checked import path_below
from harness.util.escape import cell, from_cell

COLUMNS = ["path", "fold", "label", "predicted"]


def predictions_csv(predictions: Iterable[Prediction], classes: Sequence[str]) -> bytes:
    """A table: path, fold, label, predicted, and `p_<class>` for each class; UTF-8, one line per image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(cell(f"p_{name}") for name in classes)])
    for p in predictions:
        writer.writerow([cell(p.path), p.fold, cell(p.label), cell(p.predicted), *map(repr, p.probabilities)])
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_predictions(content: bytes) -> list[Prediction]:
    """What `predictions_csv` wrote. Raises ValueError or IndexError where it is something else.

    A path that leaves the folder of the images is something else, too.
    """
    try:
        rows = [*csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    header = rows.pop(0) if rows else []
    if header[:4] != COLUMNS:
        raise ValueError(f"its first line is not {','.join(COLUMNS)},...")
    return [_prediction(row, len(header) - len(COLUMNS)) for row in rows]


def _path(text: str) -> str:
    try:
        return path_below(text)
    except ValueError as error:
        raise ValueError(f"a path is {text[:80]!a}: {error}") from None


def _prediction(row: Sequence[str], classes: int) -> Prediction:
    path, fold, label, predicted, *probabilities = row
    if len(probabilities) != classes:
        raise ValueError(f"a line has {len(probabilities)} probabilities, and the first one names {classes}")
    shares = tuple(map(float, probabilities))
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError("a probability is not between 0 and 1")
    return Prediction(_path(from_cell(path)), int(fold), from_cell(label), from_cell(predicted), shares)
