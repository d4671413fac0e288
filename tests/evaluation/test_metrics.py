from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from harness.engine.metrics import rises
from harness.errors import UsageError
from harness.evaluation.calibration import calibration
from harness.evaluation.metrics import (
    METRICS,
    headline_metrics,
    metric_named,
    metric_names,
    roc_auc,
    scores_of,
    top_k_accuracy,
)


def predictions(classes: int, images: int = 300, seed: int = 0, digits: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """Returns (labels, probabilities). Few digits make ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    probabilities = np.exp(rng.normal(size=(images, classes)) + np.eye(classes)[labels])
    probabilities = (probabilities / probabilities.sum(1, keepdims=True)).round(digits)
    return labels, probabilities / probabilities.sum(1, keepdims=True)


@pytest.mark.parametrize("digits", [17, 1], ids=["plain", "ties"])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_metrics_equal_scikit_learn(classes: int, digits: int) -> None:
    labels, probabilities = predictions(classes, digits=digits)
    predicted = probabilities.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "brier": ((probabilities - np.eye(classes)[labels]) ** 2).sum(1).mean(),
        "roc_auc": reference.roc_auc_score(
            labels, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr"
        ),
        "calibration_error": calibration(labels, probabilities).error,
    }
    if digits == 17:  # scikit-learn replaces a probability of 0 by 2e-16, harness by 2e-308
        expected["log_loss"] = reference.log_loss(labels, probabilities)
    for name, value in expected.items():
        assert metric_named(name, classes)(labels, probabilities) == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("k", [2, 3, 5])
def test_top_k_accuracy_equals_scikit_learn_without_ties(k: int) -> None:
    labels, probabilities = predictions(6)
    expected = reference.top_k_accuracy_score(labels, probabilities, k=k)
    assert metric_named(f"top{k}_accuracy", 6)(labels, probabilities) == pytest.approx(expected)
    assert top_k_accuracy(labels, probabilities, 1) == metric_named("accuracy", 6)(labels, probabilities)
    assert top_k_accuracy(labels, probabilities, 6) == 1


def test_top_k_accuracy_of_equal_probabilities_counts_the_first_k() -> None:
    """https://github.com/tensorflow/tensorflow/issues/13005 and NVIDIA-Merlin/models#617: all ties were hits."""
    labels, probabilities = np.arange(6), np.full((6, 6), 1 / 6)
    assert [top_k_accuracy(labels, probabilities, k) for k in (1, 2, 5)] == pytest.approx([1 / 6, 2 / 6, 5 / 6])


@pytest.mark.parametrize(("name", "classes"), [("top5_accuracy", 2), ("top5_accuracy", 5), ("top1_accuracy", 6)])
def test_metric_named_refuses_a_useless_k(name: str, classes: int) -> None:
    """https://github.com/open-mmlab/mmpretrain/issues/810: selected index k out of range; elsewhere it is 1."""
    with pytest.raises(UsageError, match=name) as error:
        metric_named(name, classes)
    assert len(str(error.value).splitlines()) == 3
    assert error.value.fix == ("use accuracy" if classes == 2 else f"use a K from 2 to {classes - 1}, or accuracy")


@pytest.mark.parametrize(
    "name", ["topk_accuracy", "top0_accuracy", "top05_accuracy", "top" + "9" * 5000 + "_accuracy", ""]
)
def test_metric_named_refuses_an_unknown_name(name: str) -> None:
    with pytest.raises(UsageError, match="there is no metric"):
        metric_named(name, 6)


def test_metric_named_suggests_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'macro_f1'"):
        metric_named("f1_macro", 3)
    assert metric_named("top3_accuracy", 6).name == "top3_accuracy"


def test_metrics_rise_or_fall_for_a_better_model() -> None:
    """Compares a model that knows the classes with one that does not."""
    labels, good = predictions(6, 2000)
    good, bad = np.exp(3 * np.log(good)), np.random.default_rng(1).dirichlet(np.full(6, 0.3), 2000)
    good /= good.sum(1, keepdims=True)
    good[np.arange(2000), labels] += 3
    good /= good.sum(1, keepdims=True)
    for name in metric_names(6):
        metric = metric_named(name, 6)
        assert metric.name == name
        assert (metric(labels, good) > metric(labels, bad)) == rises(name), name


def test_headline_metrics_have_top_5_only_if_there_are_more_than_5_classes() -> None:
    assert "top5_accuracy" in headline_metrics(6)
    assert not [name for classes in (2, 5) for name in headline_metrics(classes) if name.startswith("top")]
    assert set(headline_metrics(6)) == {*METRICS, "top5_accuracy"} - {"accuracy"}
    assert metric_names(4) == (*METRICS, "top2_accuracy", "top3_accuracy")
    for classes in (2, 6):
        assert tuple(scores_of(*predictions(classes))) == headline_metrics(classes)


def test_scores_of_no_images_are_none() -> None:
    scores = scores_of(np.zeros(0, np.int64), np.zeros((0, 6)))
    assert set(scores.values()) == {None}


@pytest.mark.parametrize("classes", [2, 6])
def test_scores_of_one_image_are_none_if_undefined(classes: int) -> None:
    probabilities = np.full((1, classes), 0.4 / (classes - 1))
    probabilities[0, 1] = 0.6
    scores = scores_of(np.ones(1, np.int64), probabilities)
    assert {name for name, value in scores.items() if value is None} == {"roc_auc", "calibration_error"}
    assert scores["balanced_accuracy"] == scores["macro_f1"] == 1
    assert scores["log_loss"] == pytest.approx(-np.log(0.6))
    assert scores["brier"] == pytest.approx(0.16 + 0.16 / (classes - 1))


@pytest.mark.parametrize("present", [[0], [1], [0, 1]])
def test_roc_auc_is_undefined_if_a_class_is_absent(present: list[int]) -> None:
    """https://github.com/scikit-learn/scikit-learn/issues/24636: an error; now a warning and NaN."""
    labels = np.resize(present, 40)
    _, probabilities = predictions(3, 40)
    assert roc_auc(labels, probabilities) is None
    assert (roc_auc(labels, probabilities[:, :2]) is None) == (len(present) == 1)


def test_balanced_accuracy_leaves_out_absent_classes() -> None:
    """https://github.com/online-ml/river/pull/1953: an absent class that is predicted was counted as a recall of 0."""
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert metric_named("balanced_accuracy", 4)(labels, np.eye(4)[predicted]) == 0.75


def test_macro_f1_leaves_out_classes_that_are_absent_and_not_predicted() -> None:
    """https://github.com/Lightning-AI/torchmetrics/issues/1664 and 1494: more classes, a lower F1."""
    labels, predicted = np.array([2, 1, 0, 0]), np.array([2, 1, 0, 1])
    values = [metric_named("macro_f1", classes)(labels, np.eye(classes)[predicted]) for classes in range(3, 9)]
    assert values == pytest.approx([7 / 9] * 6)


def test_macro_f1_counts_a_class_that_is_never_predicted_as_0() -> None:
    """https://github.com/meta-pytorch/torcheval/issues/176: it was left out, 0.778 instead of 0.667."""
    labels, predicted = np.array([2, 1, 0, 4]), np.array([2, 1, 0, 1])
    assert metric_named("macro_f1", 5)(labels, np.eye(5)[predicted]) == pytest.approx(2 / 3)


def test_roc_auc_is_not_the_mean_over_batches() -> None:
    """https://github.com/keras-team/keras/issues/8410: metrics such as AUC were averaged over batches."""
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    probabilities = np.stack([1 - scores, scores], 1)
    assert [roc_auc(labels[half], probabilities[half]) for half in (slice(0, 2), slice(2, 4))] == [1, 1]
    assert roc_auc(labels, probabilities) == 0.75


def test_brier_is_twice_the_other_form_for_two_classes() -> None:
    """https://github.com/scikit-learn/scikit-learn/pull/18699: two definitions, with different ranges."""
    labels, probabilities = predictions(2)
    half = reference.brier_score_loss(labels, probabilities[:, 1])
    assert metric_named("brier", 2)(labels, probabilities) == pytest.approx(2 * half)
    assert metric_named("brier", 2)(np.array([0]), np.array([[0.0, 1.0]])) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_accept_rows_that_do_not_sum_to_1_exactly(dtype: type) -> None:
    labels, probabilities = predictions(6)
    rounded = (probabilities * (1 + 1e-6)).astype(dtype)
    for name, value in scores_of(labels, rounded).items():
        assert value == pytest.approx(scores_of(labels, probabilities)[name], abs=1e-5), name


def test_metrics_of_several_blocks_equal_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities = predictions(7)
    whole = scores_of(labels, probabilities)
    monkeypatch.setattr("harness.evaluation.blocks.BLOCK", 50)
    assert scores_of(labels, probabilities) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_roc_auc_does_not_change_the_probabilities(order: str) -> None:
    labels, probabilities = predictions(3)
    given = np.array(probabilities, order=order)
    assert roc_auc(labels, given) == roc_auc(labels, probabilities)
    assert (given == probabilities).all()
