from __future__ import annotations

import numpy as np

from harness.evaluation.predictions import Predictions
from harness.runs.record_parts import NearCopiesRecord
from harness.workflows.without_near_copies import without_near_copies


def nearest(points: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The label of the nearest point, like the prediction of a model that memorised its images."""
    distances = (points**2).sum(1) - 2 * others @ points.T
    found: np.ndarray = labels[distances.argmin(1)]
    return found


def test_without_near_copies_is_the_accuracy_on_new_images() -> None:
    """By simulation: 255 images, 45 of them with a near copy, and 10 % wrong labels, in five folds."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 2, count)
        points = rng.normal(size=(count, 8))
        points[:, 0] += 2 * labels - 1
        return points, np.where(rng.random(count) < 0.1, 1 - labels, labels)

    whole, rest, new = [], [], []
    for _ in range(60):
        points, labels = draw(255)
        points = np.concatenate([points, points[:45] + rng.normal(size=(45, 8)) / 20])
        labels = np.concatenate([labels, labels[:45]])
        folds = rng.permutation(300) % 5 + 1
        others, true = draw(500)
        called = np.zeros(300, np.int64)
        for fold in range(1, 6):
            train = folds != fold
            called[~train] = nearest(points[train], labels[train], points[~train])
            new.append((nearest(points[train], labels[train], others) == true).mean())
        paths = tuple(map(str, range(300)))
        apart = folds[:45] != folds[255:]
        near = {str(i) for i in np.flatnonzero(apart)} | {str(255 + i) for i in np.flatnonzero(apart)}
        predictions = Predictions(("a", "b"), paths, folds, labels, np.eye(2)[called])
        record = without_near_copies(predictions, near, leaked=False)
        assert record is not None
        assert record.accuracy is not None
        assert (record.images, record.n) == (len(near), 300 - len(near))
        whole.append(predictions.accuracy.value)
        rest.append(record.accuracy)
    assert np.mean(whole) > np.mean(new) + 0.07
    assert abs(np.mean(rest) - np.mean(new)) < 0.01


def test_without_near_copies_ignores_paths_without_a_prediction() -> None:
    predictions = Predictions(("a", "b"), ("x",), np.ones(1, np.int64), np.zeros(1, np.int64), np.array([[1.0, 0.0]]))
    assert without_near_copies(predictions, {"y"}, leaked=False) is None
    assert without_near_copies(predictions, {"x"}, leaked=False) == NearCopiesRecord(1)
