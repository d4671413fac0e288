from __future__ import annotations

import numpy as np

from harness.evaluation.abstention import THRESHOLDS, abstention
from harness.evaluation.accuracy import Accuracy
from harness.evaluation.groups import accuracy_of


def test_abstention_counts_answers_at_each_threshold() -> None:
    sure = np.array([0.4, 0.5, 0.65, 0.9, 0.9, 0.98])
    probabilities = np.stack([(1 - sure) / 2, (1 - sure) / 2, sure], 1)
    rows = abstention(np.array([2, 0, 2, 2, 1, 2]), probabilities)
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    assert [row.answered for row in rows] == [6, 5, 4, 3, 3, 3, 1, 0]
    assert [row.share for row in rows] == [n / 6 for n in (6, 5, 4, 3, 3, 3, 1, 0)]
    assert [row.accuracy for row in rows] == [
        *(Accuracy(*counts) for counts in ((4, 6), (3, 5), (3, 4), (2, 3), (2, 3), (2, 3), (1, 1))),
        None,
    ]
    assert {row.images for row in rows} == {6}


def test_abstention_counts_groups() -> None:
    sure = np.repeat([0.55, 0.95], 20)
    groups = np.arange(40) // 4
    rows = abstention(np.ones(40, np.int64), np.stack([1 - sure, sure], 1), groups)
    by_threshold = {row.threshold: row.accuracy for row in rows}
    assert by_threshold[0.0] == accuracy_of(np.ones(40, bool), groups)
    assert by_threshold[0.9] == accuracy_of(np.ones(20, bool), groups[20:])
    assert by_threshold[0.99] is None


def test_abstention_answers_every_image_at_threshold_0() -> None:
    probabilities = np.full((5, 1000), 1e-3)
    assert abstention(np.zeros(5, np.int64), probabilities)[0].share == 1
    assert abstention(np.zeros(5, np.int64), probabilities)[1].accuracy is None
