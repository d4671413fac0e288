"""The confusion matrix of a report: a table for few classes, or the most frequent confusions for many classes."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from typing import Any

import numpy as np
from PIL import Image

from harness.evaluation.scores import Indices
from harness.report.answers import Answers
from harness.report.gallery import cell_id

MOST_CLASSES = 40  # the most classes of a readable table
MOST_PAIRS = 50  # the most confusions in the list
OVERVIEW_SIDE = 250  # squares per side of the overview; several classes share a square if there are more
TINT = (29, 78, 216)  # colour of the overview, which is transparent for a light or dark background


def confusion_context(answers: Answers, linked: Collection[int]) -> dict[str, Any]:
    """Returns the fields for the template.

    Args:
        answers: At least one prediction.
        linked: Numbers of the cells whose images are on the page.

    Returns:
        `rows` of the table, or None for many classes; `pairs`, the most frequent confusions; `overview`, an image of
        the whole matrix for many classes, as a `data:` address.
    """
    size = len(answers.classes)
    cells, counts = np.unique(answers.cells, return_counts=True)
    totals = np.bincount(answers.labels, minlength=size)
    table = size <= MOST_CLASSES
    matrix = np.zeros((size, size), np.int64) if table else None
    if matrix is not None:
        matrix.flat[cells] = counts
    wrong = cells // size != cells % size
    order = np.argsort(-counts[wrong], kind="stable")[:MOST_PAIRS]
    pairs = [
        _cell(answers, int(cell), int(n), int(totals[cell // size]), linked)
        for cell, n in zip(cells[wrong][order], counts[wrong][order], strict=True)
    ]
    return {
        "classes": answers.classes if table else (),
        "rows": None if matrix is None else [_row(answers, i, matrix[i], totals, linked) for i in range(size)],
        "pairs": pairs,
        "pairs_left": int(wrong.sum()) - len(pairs),
        "overview": None if table else _overview(cells, counts, totals, size),
        "quiet": size > 6,
    }


def _row(answers: Answers, label: int, counts: Indices, totals: Indices, linked: Collection[int]) -> dict[str, Any]:
    size, total = len(answers.classes), int(totals[label])
    cells = [_cell(answers, label * size + said, int(counts[said]), total, linked) for said in range(size)]
    return {"name": answers.classes[label], "total": total, "cells": cells}


def _cell(answers: Answers, cell: int, n: int, total: int, linked: Collection[int]) -> dict[str, Any]:
    label, said = divmod(cell, len(answers.classes))
    return {
        "n": n,
        "share": round(n / total, 4) if total else 0.0,
        "id": cell_id(label, said) if cell in linked else None,
        "right": label == said,
        "true": answers.classes[label],
        "said": answers.classes[said],
    }


def _overview(cells: Indices, counts: Indices, totals: Indices, size: int) -> str:
    """The matrix as a small image: the darker a square, the larger its share of the true class."""
    side = min(size, OVERVIEW_SIDE)
    rows, columns = cells // size * side // size, cells % size * side // size
    shares = np.zeros((side, side))
    np.add.at(shares, (rows, columns), counts)
    below = np.bincount(np.arange(size) * side // size, weights=totals, minlength=side)
    shares /= np.maximum(below[:, None], 1)
    alpha = np.where(shares > 0, 40 + 215 * np.sqrt(np.minimum(shares, 1)), 0).astype(np.uint8)
    pixels = np.dstack([*(np.full_like(alpha, each) for each in TINT), alpha])
    content = io.BytesIO()
    Image.fromarray(pixels).quantize(64).save(content, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
