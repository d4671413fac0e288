from __future__ import annotations

import numpy as np

from harness.evaluation.same_scene import Features, find_same_scenes

SAMPLE = np.arange(0, 300, 3)


def features_of(count: int = 300, seed: int = 0) -> Features:
    """Returns features of images of five kinds. Images of one kind are near each other."""
    rng = np.random.default_rng(seed)
    kinds = rng.normal(size=(5, 64))[rng.integers(0, 5, count)]
    features: Features = (kinds + 0.5 * rng.normal(size=(count, 64)) + 3).astype(np.float32)
    return features


def moved(features: Features, rows: object, by: float, seed: int = 1) -> Features:
    rng = np.random.default_rng(seed)
    chosen: Features = features[rows]  # type: ignore[index]
    result: Features = (chosen + by * rng.normal(size=chosen.shape)).astype(np.float32)
    return result


def test_find_same_scenes_finds_pairs_that_are_much_closer_than_neighbours() -> None:
    features = features_of()
    features[:10] = moved(features, slice(100, 110), by=0.15)
    found = find_same_scenes(features, SAMPLE, moved(features, SAMPLE, by=0.1))
    assert found is not None
    assert {(pair.first, pair.second) for pair in found} == {(i, 100 + i) for i in range(10)}
    assert all(0 < pair.ratio < 0.42 and 0.9 < pair.cosine <= 1 for pair in found)
    assert [pair.ratio for pair in found] == sorted(pair.ratio for pair in found)


def test_find_same_scenes_finds_none_among_images_of_one_kind() -> None:
    features = features_of()
    assert find_same_scenes(features, SAMPLE, moved(features, SAMPLE, by=0.1)) == []


def test_find_same_scenes_is_none_if_mirroring_changes_the_features() -> None:
    features = features_of()
    features[:10] = moved(features, slice(100, 110), by=0.15)
    assert find_same_scenes(features, SAMPLE, moved(features, SAMPLE, by=0.4)) is None


def test_find_same_scenes_of_few_or_equal_images() -> None:
    features = features_of(49)
    assert find_same_scenes(features, np.arange(10), features[:10]) is None
    same = np.ones((60, 8), np.float32)
    assert find_same_scenes(same, np.arange(10), same[:10]) in ([], None)
