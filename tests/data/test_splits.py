from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.data.images import Images
from harness.data.splits import Split, stratified_splits, with_inner
from harness.errors import DataError


def images(**counts: int) -> Images:
    names = tuple(sorted(counts))
    labels = tuple(label for label, name in enumerate(names) for _ in range(counts[name]))
    return Images(Path(), names, tuple(f"{i}.jpg" for i in range(len(labels))), labels, ())


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_stratified_splits_validate_each_image_once_and_never_train_on_it(folds: int) -> None:
    listed = images(sea=31, forest=20)
    splits = stratified_splits(listed, folds, seed=1)
    assert len(splits) == folds
    assert sorted(i for split in splits for i in split.valid) == list(range(51))
    for split in splits:
        assert set(split.train) | set(split.valid) == set(range(51))
        assert not set(split.train) & set(split.valid)
        counts = Counter(listed.labels[i] for i in split.valid)
        assert abs(counts[0] - 20 / folds) < 1
        assert abs(counts[1] - 31 / folds) < 1


def test_stratified_splits_depend_on_the_seed() -> None:
    for folds in (4, 0):
        assert stratified_splits(images(a=20, b=20), folds, 1) == stratified_splits(images(a=20, b=20), folds, 1)
        assert stratified_splits(images(a=20, b=20), folds, 1) != stratified_splits(images(a=20, b=20), folds, 2)


def test_stratified_splits_with_0_folds_is_a_hold_out_of_a_fifth() -> None:
    listed = images(a=50, b=25)
    (split,) = stratified_splits(listed, 0, 0)
    assert Counter(listed.labels[i] for i in split.valid) == {0: 10, 1: 5}
    assert len(split.train) == 60


def test_stratified_splits_hold_out_one_image_per_class_at_least() -> None:
    listed = images(a=2, b=2, c=2)
    (split,) = stratified_splits(listed, 0, 0)
    assert {listed.labels[i] for i in split.valid} == {0, 1, 2} == {listed.labels[i] for i in split.train}


def test_stratified_splits_refuse_a_class_with_fewer_images_than_folds() -> None:
    with pytest.raises(DataError) as caught:
        stratified_splits(images(a=20, b=3), 5, 0)
    assert "b (3)" in caught.value.why
    assert caught.value.fix == "-s folds=3"
    with pytest.raises(DataError, match="hold-out"):
        stratified_splits(images(a=20, b=1), 0, 0)


def test_stratified_splits_of_distinct_groups_equal_those_without_groups() -> None:
    listed = images(sea=31, forest=20)
    for folds in (3, 0):
        assert stratified_splits(listed, folds, 1, np.arange(51)) == stratified_splits(listed, folds, 1)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("folds", [3, 0])
def test_stratified_splits_keep_groups_in_one_set(folds: int, uneven: bool) -> None:
    listed = images(sea=60, forest=30)
    groups = np.concatenate([np.arange(30) // 3, 10 + np.arange(60) // 3])
    splits = stratified_splits(listed, folds, 1, groups, uneven)
    for split in splits:
        assert sorted({*split.train, *split.valid}) == list(range(90))
        assert not {groups[i] for i in split.train} & {groups[i] for i in split.valid}
        counts = Counter(listed.labels[i] for i in split.valid)
        assert counts[1] / counts[0] == pytest.approx(2, abs=0.6)
    if folds:
        assert sorted(i for split in splits for i in split.valid) == list(range(90))


def test_stratified_splits_of_groups_with_several_classes() -> None:
    listed = images(a=20, b=20)
    groups = np.tile(np.arange(10), 4)  # each patient has two images of each class
    for split in stratified_splits(listed, 5, 0, groups, uneven=True):
        assert Counter(listed.labels[i] for i in split.valid) == {0: 4, 1: 4}
        assert len({groups[i] for i in split.valid}) == 2


def test_stratified_splits_refuse_too_few_groups_of_a_class() -> None:
    listed = images(a=20, b=20)
    groups = np.concatenate([np.arange(20), 20 + np.arange(20) // 10])
    with pytest.raises(DataError, match=r"5 folds need at least 5 .*groups of images") as caught:
        stratified_splits(listed, 5, 0, groups, uneven=True)
    assert "b (2)" in caught.value.why
    assert caught.value.fix == "-s folds=2"
    assert len(stratified_splits(listed, 2, 0, groups, uneven=True)) == 2
    with pytest.raises(DataError, match="a hold-out needs at least 2"):
        stratified_splits(listed, 0, 0, np.concatenate([np.arange(20), np.full(20, 20)]), uneven=True)


@pytest.mark.parametrize("kind", ["alone", "copies", "places"])
def test_with_inner_takes_a_stratified_part_of_the_training_set_in_whole_groups(kind: str) -> None:
    listed = images(a=80, b=40)
    groups = {
        "alone": None,
        "copies": np.arange(120) // 2,  # of one class each, and small
        "places": np.arange(120) % 15,  # of both classes
    }[kind]
    outer = stratified_splits(listed, 3, 0, groups, uneven=kind == "places")[1]
    split = with_inner(listed, outer, 0.2, 0, groups)
    assert split.valid == outer.valid
    assert split.training_side == outer.train
    assert not {*split.train} & {*split.inner}
    assert abs(len(split.inner) / len(outer.train) - 0.2) < 0.06
    counts = Counter(listed.labels[i] for i in split.inner)
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.2)
    if groups is not None:
        assert not {*groups[list(split.inner)]} & {*groups[list(split.train)]}
    assert with_inner(listed, outer, 0.2, 0, groups) == split == with_inner(listed, split, 0.2, 0, groups)
    assert with_inner(listed, outer, 0.2, 1, groups) != split


def test_with_inner_has_each_class_in_both_sets_or_names_the_missing_class() -> None:
    listed = images(a=30, b=2)
    split = with_inner(listed, Split(tuple(range(32)), ()), 0.2, 0)
    assert {listed.labels[i] for i in split.inner} == {0, 1} == {listed.labels[i] for i in split.train}
    with pytest.raises(DataError, match="no image of b for the inner validation set") as caught:
        with_inner(listed, Split((*range(30), 30), (31,)), 0.2, 0)
    assert "-s patience=none" in caught.value.fix
    with pytest.raises(DataError, match="no image of a, b for the inner validation set"):
        with_inner(listed, Split(tuple(range(32)), ()), 0.2, 0, np.arange(32) // 30)
