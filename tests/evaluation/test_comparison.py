from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.evaluation.accuracy import Accuracy, paired_exact_test
from harness.evaluation.comparison import compare, shared_images
from harness.evaluation.predictions import Predictions


def made(
    right: str, groups: list[int] | None = None, *, first: int = 0, prints: list[int] | None = None
) -> Predictions:
    """Returns predictions: "+" is a right image, "-" a wrong one."""
    probabilities = np.array([[0.9, 0.1] if letter == "+" else [0.1, 0.9] for letter in right])
    zeros = np.zeros(len(right), np.int64)
    paths = tuple(f"{first + i}.jpg" for i in range(len(right)))
    optional = [None if each is None else np.array(each, np.int64) for each in (groups, prints)]
    return Predictions(("a", "b"), paths, zeros, zeros, probabilities, *optional)


def test_compare_uses_images_that_both_predict() -> None:
    found = compare(made("++--"), made("-++", first=1))
    assert (found.better, found.worse, found.n, found.p) == (1, 2, 3, 1.0)
    assert (found.first, found.second) == (Accuracy(1, 3), Accuracy(2, 3))
    assert found.difference == pytest.approx(-1 / 3)


def test_compare_matches_images_by_pixels_if_possible() -> None:
    """Two data sets have a 0.jpg. Only its pixels show whether it is the same image."""
    first, second = made("+-+", prints=[7, 8, 9]), made("-++", prints=[9, 5, 7])
    shared = shared_images(first, second)
    assert shared.paths == ("0.jpg", "2.jpg")
    assert shared.right.tolist() == [[1, 1], [1, 0]]
    assert len(shared_images(first, made("+-+"))) == 3  # matched by path, because one of them has no fingerprints


def test_compare_leaves_out_an_image_whose_true_class_differs() -> None:
    second = dataclasses.replace(made("++"), labels=np.array([0, 1]))
    assert shared_images(made("++"), second).paths == ("0.jpg",)


def test_compare_counts_a_group_as_one() -> None:
    assert compare(made("++++++--"), made("------+-")).p == paired_exact_test(6, 1)
    grouped = compare(made("++++++--", [0, 0, 0, 0, 0, 0, 1, 2]), made("------+-"))
    assert (grouped.better, grouped.worse, grouped.p) == (6, 1, 1.0)
    assert grouped.first.groups == 3
    low, high = grouped.interval
    assert low < -0.5 < 0.9 < high


def test_compare_joins_the_groups_of_both() -> None:
    """The first model was tested without groups, and the second with groups."""
    plain, grouped = made("++++++--"), made("------+-", [0, 0, 0, 0, 0, 0, 1, 2])
    one, other = compare(plain, grouped), compare(grouped, plain)
    assert (one.p, other.p) == (1.0, 1.0)
    assert one.interval == tuple(-bound for bound in reversed(other.interval))


def test_compare_of_equal_models_has_p_1() -> None:
    """No image is right for only one model: p is 1, and `images_needed` is None (huggingface/evaluate#795)."""
    found = compare(made("++-+"), made("++-+"))
    assert (found.better, found.worse, found.p, found.difference) == (0, 0, 1.0, 0.0)
    low, high = found.interval
    assert low < 0 < high
    assert found.images_needed() is None


def test_compare_averages_several_predictions_of_an_image() -> None:
    """Compares a run of three repeats with one model: each image counts once."""
    parts = [made(right) for right in ("+++-", "++--", "++-+")]
    repeats = dataclasses.replace(Predictions.join(parts), groups=np.tile(np.arange(4), 3))
    found = compare(repeats, made("--+-"))
    assert (found.n, found.better, found.worse) == (4, 3, 1)
    assert found.difference == pytest.approx((1 + 1 - 2 / 3 + 1 / 3) / 4)
    assert found.p == pytest.approx(6 / 16)  # signs of 3, 3, 2, 1 thirds: 3 of 16 sums are at least 5
    assert compare(repeats, repeats).p == 1.0


def test_compare_interval_covers_the_difference() -> None:
    """Paired proportions with a known difference. Groups of 4 are right or wrong together with probability 0.8."""
    rng = np.random.default_rng(0)
    for n, one, other, size in ((35, 0.9, 0.85, 1), (300, 0.95, 0.9, 1), (949, 0.985, 0.97, 1), (300, 0.9, 0.8, 4)):
        hits = 0
        for _ in range(400):
            draws = rng.random((n // size, 2))[:, None].repeat(size, 1).reshape(-1, 2)
            fresh = np.where(
                rng.random((len(draws), 1)) < (0.8 if size > 1 else 0.3), draws, rng.random((len(draws), 2))
            )
            right = fresh < [one, other]
            groups = np.repeat(np.arange(n // size), size).tolist() if size > 1 else None
            sides = ["".join("+" if value else "-" for value in column) for column in right.T]
            low, high = compare(made(sides[0], groups), made(sides[1])).interval
            hits += low <= one - other <= high
        assert 0.92 <= hits / 400 <= (0.995 if size > 1 else 0.985), (n, one, other, size)


def test_images_needed_gives_the_promised_power() -> None:
    """With that number of images, the fraction of significant tests is the promised power."""
    found = compare(made("+" * 30 + "-" * 5), made("+" * 28 + "--" + "+" + "-" * 4))  # 2 better, 1 worse
    assert (found.better, found.worse) == (2, 1)
    needed = found.images_needed()
    assert needed is not None
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        better, worse, _ = rng.multinomial(needed, [2 / 35, 1 / 35, 32 / 35])
        hits += paired_exact_test(int(better), int(worse)) < 0.05
    assert 0.74 < hits / 400 < 0.86
    assert compare(made("+-"), made("-+")).images_needed() is None
    stricter = found.images_needed(0.01)
    assert stricter is not None
    assert stricter > needed
