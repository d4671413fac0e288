from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from harness.evaluation.label_suspects import find_label_suspects, rank_by_label
from harness.evaluation.out_of_fold import out_of_fold_probabilities
from harness.evaluation.scores import Floats, Indices


def made(n: int, classes: int, seed: int, gap: float = 2.0) -> tuple[Floats, Indices]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, 10)) + gap * rng.normal(size=(classes, 10))[labels], labels


def test_out_of_fold_probabilities_cover_every_image() -> None:
    features, labels = made(500, 4, 0)
    probabilities = out_of_fold_probabilities(features, labels, classes=4)
    assert probabilities.shape == (500, 4)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == labels).mean() > 0.9
    assert np.array_equal(probabilities, out_of_fold_probabilities(features, labels, classes=4))


def test_out_of_fold_probabilities_of_random_labels_are_near_half() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 300)).astype(np.float32), rng.integers(0, 2, 400)
    probabilities = out_of_fold_probabilities(features, labels, classes=2)
    assert 0.42 < (probabilities.argmax(1) == labels).mean() < 0.58
    assert np.abs(probabilities - 0.5).max() < 0.3  # the penalty must be strong


def test_out_of_fold_probabilities_keep_copies_together() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(150, 300)), 2, axis=0)
    labels, groups = np.repeat(rng.integers(0, 2, 150), 2), np.repeat(np.arange(150), 2)
    apart, together = (out_of_fold_probabilities(features, labels, g, classes=2) for g in (None, groups))
    assert (apart.argmax(1) == labels).mean() > 0.8  # the training set has a copy of each image
    assert 0.35 < (together.argmax(1) == labels).mean() < 0.65


def test_out_of_fold_probabilities_of_the_only_image_of_a_class_are_nan() -> None:
    features, labels = made(60, 3, 1)
    labels[labels == 2] = 0
    labels[:1] = 2
    probabilities = out_of_fold_probabilities(features, labels, classes=5)
    assert np.isnan(probabilities[0]).all()
    assert not np.isnan(probabilities[1:]).any()
    assert (probabilities[1:, 3:] == 0).all()
    assert 0 not in find_label_suspects(labels, probabilities).indices


def test_out_of_fold_probabilities_of_a_class_whose_images_are_copies_are_nan() -> None:
    features, labels = made(60, 2, 1)
    labels[:4] = 2
    groups = np.arange(60)
    groups[:4] = 0
    assert np.isnan(out_of_fold_probabilities(features, labels, groups, classes=3)).all(1).nonzero()[0].tolist() == [
        *range(4)
    ]


@pytest.mark.parametrize("sizes", [(2, 2), (3, 40), (2, 3, 4), (1, 1)])
def test_out_of_fold_probabilities_of_classes_with_fewer_images_than_folds(sizes: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    features = np.random.default_rng(0).normal(size=(len(labels), 3)) + 9 * labels[:, None]
    probabilities = out_of_fold_probabilities(features, labels, classes=len(sizes))
    judged = ~np.isnan(probabilities).any(1)
    assert judged.all() == (min(sizes) > 1)


def test_out_of_fold_probabilities_of_one_class_or_no_image_are_nan() -> None:
    assert np.isnan(out_of_fold_probabilities(np.ones((5, 2)), np.zeros(5, np.int64), classes=1)).all()
    assert out_of_fold_probabilities(np.ones((0, 2)), np.zeros(0, np.int64), classes=2).shape == (0, 2)


def test_out_of_fold_probabilities_of_constant_features_are_class_frequencies() -> None:
    labels = np.repeat([0, 1], [30, 10])
    probabilities = out_of_fold_probabilities(np.full((40, 3), 7e4, np.float32), labels, classes=2)
    assert np.allclose(probabilities, [0.75, 0.25], atol=0.02)


def test_out_of_fold_probabilities_need_no_copy_of_the_features() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60_000)
    features = rng.standard_normal((60_000, 200), dtype=np.float32)
    tracemalloc.start()
    out_of_fold_probabilities(features, labels, classes=2, folds=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * features.nbytes  # two arrays of 20,000 x 200, and blocks


def test_rank_by_label_puts_flipped_labels_of_photographs_first(scenes: Path, scenes_weights: Path) -> None:
    files = [path for name in ("forest", "sea") for path in sorted((scenes / "train" / name).iterdir())[:200]]
    images = torch.stack([torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in files])
    network = resnet18()
    weights = torch.load(scenes_weights, weights_only=True)
    network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc.")}, strict=False)
    network.fc = torch.nn.Identity()
    mean, scale = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        parts = [network.eval()(((part / 255 - mean) / scale).permute(0, 3, 1, 2)) for part in images.split(40)]
    features, truth = torch.cat(parts).numpy(), np.repeat([0, 1], 200)
    for seed in range(3):
        flipped = np.random.default_rng(seed).choice(400, 12, replace=False)
        labels = truth.copy()
        labels[flipped] = 1 - truth[flipped]
        probabilities = out_of_fold_probabilities(features, labels, classes=2, seed=seed)
        assert len(np.intersect1d(rank_by_label(labels, probabilities)[:20], flipped)) >= 0.6 * 12
        suspects = find_label_suspects(labels, probabilities)
        assert len(np.intersect1d(suspects.indices, flipped)) >= 0.6 * 12
        assert len(suspects) < 30
