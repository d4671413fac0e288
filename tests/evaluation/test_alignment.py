from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.alignment import FINEST, LeftOut, align, answers_of, named_by_path
from harness.evaluation.comparison import compare
from harness.evaluation.predictions import Predictions


def said(
    images: list[int],
    chances: list[tuple[float, ...]],
    labels: list[int] | None = None,
    classes: tuple[str, ...] = ("a", "b"),
    **optional: list[int],
) -> Predictions:
    """Returns predictions of images with those fingerprints. The number in each path is the fingerprint."""
    n = len(images)
    groups = np.array(optional["groups"], np.int64) if "groups" in optional else None
    truth = np.array(labels if labels is not None else [0] * n, np.int64)
    paths = tuple(f"{image}.jpg" for image in images)
    prints = np.array(images, np.int64)
    shares = np.array(chances, float).reshape(n, len(classes))
    return Predictions(classes, paths, np.zeros(n, np.int64), truth, shares, groups, prints)


RIGHT, WRONG = (0.9, 0.1), (0.2, 0.8)


def test_answers_of_averages_the_predictions_of_an_image() -> None:
    """With three repeats, the mean probability decides the class, and `right` is a fraction."""
    found = answers_of(said([7, 5, 7, 5, 7], [RIGHT, WRONG, RIGHT, WRONG, WRONG]))
    assert (found.images.tolist(), found.paths, found.most) == ([7, 5], ("7.jpg", "5.jpg"), 3)
    assert found.right.tolist() == pytest.approx([2 / 3, 0])
    assert found.scale == 3
    assert found.said.tolist() == [0, 1]
    assert found.confidence.tolist() == pytest.approx([2 / 3, 0.8])
    assert found.of_true_class.tolist() == pytest.approx([2 / 3, 0.2])


def test_answers_of_single_predictions_equals_them() -> None:
    found = answers_of(said([7, 5], [RIGHT, WRONG]))
    assert (found.right.tolist(), found.scale, found.most) == ([1, 0], 1, 1)
    assert (found.confidence.tolist(), found.of_true_class.tolist()) == ([0.9, 0.8], [0.9, 0.2])
    none = answers_of(Predictions.none(("a", "b")), images=np.zeros(0, np.int64))
    assert (len(none), none.most) == (0, 0)
    assert len(align([none, found])) == 0


def test_answers_of_matches_classes_by_name() -> None:
    """Both have the same classes in a different order (deeplearning4j/DataVec#105, dotnet/machinelearning#3773)."""
    one = answers_of(said([1, 2], [(0.7, 0.1, 0.2), (0.1, 0.3, 0.6)], [0, 2], ("cat", "dog", "newt")))
    other = said([1, 2], [(0.2, 0.7, 0.1), (0.6, 0.1, 0.3)], [1, 0], ("newt", "cat", "dog"))
    same = answers_of(other, ("cat", "dog", "newt"))
    for name in ("labels", "said", "right", "confidence", "of_true_class"):
        assert getattr(same, name).tolist() == getattr(one, name).tolist(), name
    assert len(align([one, same])) == 2
    assert len(align([one, answers_of(other)])) == 0  # by position, no image would have the same class


def test_answers_of_takes_the_first_of_equal_classes_of_the_model() -> None:
    tie = answers_of(said([1], [(0.5, 0.5)], [0], ("sea", "forest")), ("forest", "sea"))
    assert (tie.said.tolist(), tie.right.tolist()) == ([1], [1])


def test_align_keeps_common_images_in_the_order_of_the_first_model() -> None:
    one = answers_of(said([4, 3, 2, 1], [RIGHT, WRONG, RIGHT, WRONG]))
    other = answers_of(said([1, 2, 4, 9], [RIGHT] * 4))
    third = answers_of(said([2, 4, 1, 3], [WRONG] * 4, [0, 0, 1, 0]))
    found = align([one, other, third])
    assert [one.paths[i] for i in found.rows[0]] == ["4.jpg", "2.jpg"]
    assert [other.paths[i] for i in found.rows[1]] == ["4.jpg", "2.jpg"]
    assert [third.paths[i] for i in found.rows[2]] == ["4.jpg", "2.jpg"]
    assert found.left_out[0] == (LeftOut(1, 1, 0, 0), LeftOut(2, 0, 0, 1))
    assert found.left_out[1] == (LeftOut(0, 1, 0, 0), LeftOut(2, 1, 0, 1))
    assert found.left_out[2] == (LeftOut(0, 0, 0, 1), LeftOut(1, 1, 0, 1))


def test_align_counts_images_that_changed_under_their_path() -> None:
    """One photograph was edited between two runs: it is not the same image, although its path is the same."""
    before, after = said([1, 2, 3], [RIGHT] * 3), said([1, 5, 3], [RIGHT] * 3)
    after = Predictions(
        after.classes, before.paths, after.folds, after.labels, after.probabilities, None, after.fingerprints
    )
    found = align([answers_of(before), answers_of(after)])
    assert len(found) == 2
    assert found.left_out == ((LeftOut(1, 0, 1, 0),), (LeftOut(0, 0, 1, 0),))


def test_align_does_not_depend_on_the_order_of_predictions() -> None:
    """Another seed gives another order of images (CoSMoMVPA#189): matched by position, the result is noise."""
    rng = np.random.default_rng(0)
    images, right = rng.permutation(300), rng.random((300, 2)) < 0.9
    sides = [said(images.tolist(), [RIGHT if r else WRONG for r in column]) for column in right.T]
    order = rng.permutation(300)
    shuffled = said(images[order].tolist(), [RIGHT if r else WRONG for r in right[order, 1]])
    assert compare(sides[0], shuffled) == compare(sides[0], sides[1])
    assert compare(sides[1], shuffled).better == 0


def test_align_joins_the_groups_of_all_models() -> None:
    """One test has no groups, and another has some: images depend on each other if either says so."""
    plain = answers_of(said([1, 2, 3, 4, 5], [RIGHT] * 5))
    pairs = answers_of(said([1, 2, 3, 4, 5], [RIGHT] * 5, groups=[10, 10, 20, 30, 40]))
    places = answers_of(said([5, 4, 3, 2, 1], [RIGHT] * 5, groups=[1, 2, 3, 3, 4]))
    assert align([plain, plain]).groups is None
    for models in ([plain, pairs], [pairs, plain], [pairs, pairs]):
        groups = align(models).groups
        assert groups is not None
        assert groups.tolist() == [0, 0, 1, 2, 3]
    joint = align([pairs, places, plain]).groups
    assert joint is not None
    assert np.unique(joint, return_inverse=True)[1].tolist() == [0, 0, 0, 1, 2]
    alone = answers_of(said([1, 2], [RIGHT] * 2, groups=[3, 4]))
    assert align([alone, alone]).groups is None


def test_named_by_path_gives_equal_numbers_to_equal_paths() -> None:
    one, other = named_by_path([("a", "b", "a"), ("c", "b")])
    assert (one.tolist(), other.tolist()) == ([0, 1, 0], [2, 1])


def test_align_equals_set_intersection_on_random_input() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        sides = []
        for _ in range(int(rng.integers(1, 5))):
            images = rng.integers(0, 12, int(rng.integers(1, 30))).tolist()
            sides.append(said(images, [RIGHT] * len(images), (rng.integers(0, 2, len(images))).tolist()))
        models = [answers_of(side) for side in sides]
        found = align(models)
        expected = set.intersection(
            *({*zip(s.fingerprints.tolist(), s.labels.tolist(), strict=True)} for s in sides)  # type: ignore[union-attr]
        )
        for model, rows in zip(models, found.rows, strict=True):
            pairs = list(zip(model.images[rows].tolist(), model.labels[rows].tolist(), strict=True))
            assert {*pairs} == expected
            assert len(pairs) == len(expected)
        for at, reasons in enumerate(found.left_out):
            least = len(models[at]) - len(found)
            missing = [each.not_predicted + each.other_pixels + each.other_class for each in reasons]
            assert max(missing, default=0) <= least <= sum(missing)


def test_answers_of_many_copies_needs_little_memory() -> None:
    """Images have 1 to 20 copies. Their common multiple is 232,792,560, too long for an array."""
    images = [i for i in range(1, 21) for _ in range(i)]
    chances = [RIGHT if j % 2 else WRONG for i in range(1, 21) for j in range(i)]
    side = said(images, chances)
    found = answers_of(side)
    assert (len(found), found.most) == (20, 20)
    assert 1 < found.scale <= FINEST
    compared = compare(side, said([*range(1, 21)], [RIGHT] * 20))
    assert compared.n == 20
    assert compared.difference == pytest.approx(found.right.mean() - 1)
    same_copies = answers_of(said(images, [RIGHT] * len(images)))
    assert same_copies.scale == 1  # right is 1 for all copies: no fractions
