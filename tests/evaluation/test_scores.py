from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from sklearn.metrics import log_loss as reference_log_loss

from harness.evaluation.scores import by_class, confusion, log_loss, precision_recall

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 200)
LOGITS = RNG.normal(size=(200, 4)) + 1.5 * np.eye(4)[LABELS]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
PREDICTED = PROBABILITIES.argmax(1)


def test_confusion_has_one_row_per_true_class() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 1]), 3).tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert (confusion(LABELS, PREDICTED, 4) == confusion_matrix(LABELS, PREDICTED)).all()


def test_by_class_of_a_small_example() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0])
    sea, forest, lake = by_class(labels, predicted, ("sea", "forest", "lake"))
    assert (sea.precision, sea.recall, sea.support) == (2 / 3, 2 / 3, 3)
    assert sea.f1 == pytest.approx(2 / 3)
    assert (forest.precision, forest.recall, forest.f1, forest.support) == (0.5, 0.5, 0.5, 2)
    assert (lake.recall, lake.support) == (None, 0)  # 0 / 0 is None, not 0
    assert lake.to_dict() == {"precision": None, "recall": None, "f1": None, "support": 0}


def test_by_class_precision_is_none_if_never_predicted() -> None:
    _, never = by_class(np.array([0, 1]), np.array([0, 0]), ("sea", "forest"))
    assert (never.precision, never.recall) == (None, 0.0)


def test_precision_recall_curve_ends_at_full_recall() -> None:
    precision, recall, average = precision_recall(
        np.array([1, 0, 1]), np.array([[0.1, 0.9], [0.4, 0.6], [0.7, 0.3]]), 1
    )
    assert average == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (recall[0], recall[-1], precision[-1]) == (1, 0, 1)


def test_log_loss_is_the_cross_entropy_and_finite_for_probability_0() -> None:
    assert log_loss(LABELS, PROBABILITIES) == pytest.approx(reference_log_loss(LABELS, PROBABILITIES))
    assert 700 < log_loss(np.array([0]), np.array([[0.0, 1.0]])) < 720


def test_log_loss_of_32_bits_is_finite() -> None:
    """https://github.com/scikit-learn/scikit-learn/issues/24315: NaN, because 1 - 1e-15 is 1 in 32 bits."""
    probabilities = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    assert log_loss(np.array([1, 0]), probabilities) == 0
    assert 700 < log_loss(np.array([0, 1]), probabilities) < 720
