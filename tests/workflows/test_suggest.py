"""Tests of the fields that `harness new` suggests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.config.experiment import Experiment
from harness.evaluation.accuracy import wilson_interval
from harness.workflows.new.groups import Grouping
from harness.workflows.new.look import Facts
from harness.workflows.new.suggest import Field, baseline_luck, suggest

FACTS = Facts(
    experiment=Experiment(data="photos"),
    counts={"cat": 500, "dog": 500},
    valid=0,
    test=0,
    folds=5,
    rarest=("cat", 500),
    copies=0,
    in_two_classes=0,
    unreadable="",
    leak="",
    sizes=((480, 640),) * 10,
    grey=False,
    value_range=None,
    grouping=None,
    has_groups=False,
    notes=(),
)


def suggested(weights: str = "disk", **facts: Any) -> dict[str, Field]:
    fields = suggest(dataclasses.replace(FACTS, **facts), weights)
    assert len({field.name for field in fields}) == len(fields)
    assert all(field.reason for field in fields)
    Experiment(**{field.name: field.value for field in fields})  # raises if a value is wrong
    return {field.name: field for field in fields}


def values(weights: str = "disk", **facts: Any) -> dict[str, Any]:
    return {name: field.value for name, field in suggested(weights, **facts).items()}


def test_suggest_trains_only_the_head_on_few_images() -> None:
    many = values()
    assert (many["model"], many["weights"], many["optimizer"], many["lr"]) == ("resnet18", "imagenet", "adamw", 1e-4)
    assert "freeze" not in many
    few = values(counts={"cat": 100, "dog": 100})
    assert (few["model"], few["freeze"], few["augment"], few["lr"]) == ("resnet18", True, None, 1e-3)
    assert few["epochs"] > many["epochs"]


def test_suggest_without_weights_says_how_to_use_a_file() -> None:
    fields = suggested(weights="")
    assert (fields["model"].value, fields["weights"].value, fields["image_size"].value) == ("small_cnn", None, 96)
    assert 'weights="FILE"' in fields["model"].reason


def test_suggest_trains_from_scratch_on_small_images() -> None:
    fields = values(sizes=((28, 28),) * 9, grey=True)
    assert (fields["model"], fields["image_size"], fields["channels"]) == ("small_cnn", 28, 1)
    assert "resize" not in fields


def test_suggest_sets_the_gate_above_the_baseline() -> None:
    assert values()["min_accuracy"] == 0.7
    uneven = suggested(counts={"cat": 900, "dog": 100}, test=50)
    assert uneven["min_accuracy"].value == 0.94
    assert uneven["metrics"].value == ("balanced_accuracy",)
    assert "--metric balanced_accuracy --min-accuracy 0.7" in uneven["min_accuracy"].reason
    assert values(counts={"cat": 9999, "dog": 1})["min_accuracy"] == 0.99


def test_suggest_warns_of_few_test_images() -> None:
    low, high = wilson_interval(0.7 * 10, 10)
    reason = suggested(test=10)["min_accuracy"].reason
    assert f"{100 * low:.0f} to {100 * high:.0f} %" in reason
    assert "the baseline would pass with a probability of 17 %" in reason
    assert "would pass" not in suggested(test=200)["min_accuracy"].reason
    assert "no test images yet" in suggested()["min_accuracy"].reason


def test_baseline_luck_is_the_tail_of_a_binomial() -> None:
    assert baseline_luck(0.5, 0.7, 10) == pytest.approx((120 + 45 + 10 + 1) / 1024)
    assert baseline_luck(0.5, 1.0, 3) == pytest.approx(1 / 8)


@pytest.mark.parametrize(
    ("facts", "folds", "reason"),
    [
        ({}, 5, "each image is predicted once"),
        ({"folds": 3, "rarest": ("dog", 3)}, 3, "'dog' has only 3 independent images"),
        ({"folds": 4}, 4, "with these groups, more folds would lack a class"),
        ({"folds": 3, "counts": {"a": 3000, "b": 3000}}, 3, "more than 5,000 images"),
        ({"folds": 0, "counts": {"a": 30000, "b": 30000}}, 0, "more than 50,000 images"),
        ({"folds": 0, "valid": 9}, 0, "the hold-out has separate images"),
    ],
)
def test_suggest_gives_the_reason_for_the_number_of_folds(facts: dict[str, Any], folds: int, reason: str) -> None:
    field = suggested(**facts)["folds"]
    assert field.value == folds
    assert reason in field.reason


@pytest.mark.parametrize(
    ("classes", "augment"),
    [("cat dog", "flip"), ("0 1 7", None), ("b d p", None), ("turn_left turn_right", None), ("a dog", "flip")],
)
def test_suggest_mirrors_only_classes_that_allow_it(classes: str, augment: str | None) -> None:
    assert values(counts=dict.fromkeys(classes.split(), 400))["augment"] == augment


def test_suggest_writes_groups_as_a_comment() -> None:
    field = suggested(grouping=Grouping("folder", "24 images are in 4 folders", 5))["groups"]
    assert field.is_suggestion
    assert field.reason.startswith("24 images are in 4 folders. If ")
    assert "set folds" not in field.reason
    few = suggested(grouping=Grouping("folder", "24 images are in 4 folders", 4))["groups"]
    assert 'remove the "#" and set folds=4, or' in few.reason


def test_suggest_keeps_typed_fields() -> None:
    typed = Experiment().override({"data": "photos", "epochs": "3", "weights": "none", "precision": "fp32"})
    fields = suggested(experiment=typed)
    assert {name: field.value for name, field in fields.items() if field.reason == "as typed"} == {
        "epochs": 3,
        "weights": None,
        "precision": "fp32",
    }
    assert fields["model"].value == "small_cnn"
    other = values(experiment=Experiment().override({"data": "photos", "model": "convnext_tiny"}))
    assert (other["model"], other["weights"]) == ("convnext_tiny", "imagenet")
