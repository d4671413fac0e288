"""Suggests the fields of an experiment from facts about its images, each with its reason. Reads no files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.evaluation.accuracy import wilson_interval
from harness.workflows.new.look import MANY, VERY_MANY, Facts
from harness.workflows.new.size import SMALL, image_size, large_enough, resize, sides_text

FEW = 500  # below this number of training images, only the head of a pretrained model is trained
ABOVE_BASELINE = 0.4  # place of the gate between baseline and no error: 0.70 for two classes of equal size
UNEVEN = 2.0  # classes are uneven if the largest has at least this many times the images of the smallest
LUCK = 0.05
MIRRORED = ("left", "right", "text", "letter", "digit", "number", "arrow", "sign")


@dataclass(frozen=True)
class Field:
    """A field of an experiment with its value.

    Attributes:
        name: Of the field.
        value: A plain value.
        reason: A text for the file.
        is_suggestion: Whether it is written as a comment, because the user must decide.
    """

    name: str
    value: Any
    reason: str
    is_suggestion: bool = False


@dataclass(frozen=True)
class Choice:
    """The suggested model.

    Attributes:
        model: Its name.
        why: The reason, a text for the file.
        pretrained: Whether it starts from ImageNet weights.
        frozen: Whether only its head is trained.
    """

    model: str
    why: str
    pretrained: bool = False
    frozen: bool = False


def suggest(facts: Facts, weights: str) -> list[Field]:
    """Returns the fields of an experiment for these images, in the order of the file.

    Args:
        facts: Facts about the images.
        weights: Where the ImageNet weights are: "disk", "network" or "" (see `imagenet_at_hand`).
    """
    choice = _choice(facts, weights)
    fields = [
        *_data(facts),
        *_split(facts),
        *_pictures(facts, choice),
        *_model(choice),
        *_training(facts, choice),
        *_gate(facts),
    ]
    typed = {
        name: Field(name, getattr(facts.experiment, name), "as typed")
        for name in facts.experiment.to_dict()
        if name != "data" and facts.experiment.origin(name) == "command line"
    }
    return [typed.pop(item.name, item) for item in fields] + [*typed.values()]


def baseline_luck(baseline: float, gate: float, images: int) -> float:
    """The probability that a classifier with accuracy `baseline` reaches `gate` on that number of images."""
    from scipy.stats import binom

    return float(binom.sf(math.ceil(gate * images - 1e-9) - 1, images, baseline))


def _choice(facts: Facts, weights: str) -> Choice:
    typed = facts.experiment
    if typed.weights is None or typed.model == "small_cnn":
        return Choice("small_cnn", "98,000 parameters: small enough to train from scratch")
    if typed.origin("model") == "command line":
        return Choice(str(typed.model), "as typed", True, facts.images < FEW)
    if not large_enough(facts.sizes):
        return Choice("small_cnn", f"images up to {SMALL} px are too small for models trained on ImageNet")
    if not weights:
        return Choice(
            "small_cnn",
            "the ImageNet weights are not on this machine, and there is no internet connection. With a file of "
            'weights: model="resnet18", weights="FILE"; with a connection: harness new again, with --force',
        )
    if facts.images < FEW:
        return Choice("resnet18", f"{facts.images} images are few, so only the head is trained, in seconds", True, True)
    return Choice(
        "resnet18", f"{facts.images} images are enough to train the whole model from pretrained weights", True
    )


def _data(facts: Facts) -> Iterator[Field]:
    counts = facts.counts
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    each = f"{smallest!r} has {counts[smallest]}, {largest!r} {counts[largest]}"
    if counts[smallest] == counts[largest]:
        each = f"{counts[smallest]} per class"
    yield Field("data", facts.experiment.data, f"{facts.images} training images of {len(counts)} classes: {each}")
    if facts.valid:
        yield Field("valid_data", facts.experiment.valid_data, f"{facts.valid} images in a separate folder or split")
    if facts.test:
        yield Field(
            "test_data", facts.experiment.test_data, f"{facts.test} images for the final test, never trained on"
        )


def _split(facts: Facts) -> Iterator[Field]:
    if facts.grouping is not None:
        fewer = f" and set folds={facts.grouping.folds}" if facts.grouping.folds < facts.folds else ""
        yield Field(
            "groups",
            facts.grouping.value,
            f"{facts.grouping.evidence}. If the images of a group belong together (one patient, place or video), "
            f'remove the "#"{fewer}, or the accuracy will be too good',
            is_suggestion=True,
        )
    name, count = facts.rarest
    if facts.valid:
        yield Field("folds", 0, "the hold-out has separate images")
    elif facts.folds == 0:
        yield Field("folds", 0, f"with more than {VERY_MANY:,} images, one fifth is enough for validation")
    elif facts.folds == 3 and count >= 5 and facts.images > MANY:
        yield Field(
            "folds", 3, f"with more than {MANY:,} images, more folds would take longer and add little precision"
        )
    elif count < 5:
        yield Field("folds", facts.folds, f"{name!r} has only {count} independent images, and each fold needs one")
    elif facts.folds < 5:
        yield Field("folds", facts.folds, "with these groups, more folds would lack a class")
    else:
        yield Field("folds", 5, "each image is predicted once, by a model that was trained on the other four fifths")


def _pictures(facts: Facts, choice: Choice) -> Iterator[Field]:
    size, why = image_size(facts.sizes, choice.pretrained)
    yield Field("image_size", size, f"the images are {sides_text(facts.sizes)}: {why}")
    suggested = resize(facts.sizes, size)
    if suggested is not None:
        yield Field("resize", *suggested)
    if facts.grey:
        yield Field("channels", 1, f"the images are grey ({len(facts.sizes)} were checked)")
    if facts.value_range is not None:
        low, high = facts.value_range
        yield Field(
            "value_range",
            facts.value_range,
            f"images with more than 8 bits per channel: in all of them, {low:g} becomes black and {high:g} white",
        )


def _model(choice: Choice) -> Iterator[Field]:
    yield Field("model", choice.model, choice.why)
    if choice.pretrained:
        yield Field(
            "weights", "imagenet", "trained on 1.3 million photographs, so it already finds edges, textures and shapes"
        )
    else:
        yield Field("weights", None, "from scratch: a small network needs no pretrained weights")
    if choice.frozen:
        yield Field("freeze", True, 'only the head is trained; "layer3" or False trains more layers, and takes longer')


def _training(facts: Facts, choice: Choice) -> Iterator[Field]:
    n = facts.images
    if choice.frozen:
        yield Field("augment", None, "so the frozen part runs only once per image; set `views` to use both")
    else:
        yield _augment(facts)
    if choice.frozen:
        yield Field("lr", 1e-3, "a common value for a new head")
        epochs = 20
    elif choice.pretrained:
        yield Field("optimizer", "adamw", "common for fine-tuning, with the next three fields")
        yield Field("lr", 1e-4, "low, so that training does not destroy the pretrained weights")
        yield Field("weight_decay", 1e-2, "keeps the weights small")
        yield Field("scheduler", "onecycle", "the learning rate starts and ends low")
        epochs = 8 if n < 2_000 else 5
    else:
        yield Field("lr", 1e-2, "high, because the weights are new")
        yield Field("scheduler", "onecycle", "the learning rate starts and ends low, so its high peak does no harm")
        epochs = 30 if n < 500 else 15 if n < 2_000 else 10 if n < 10_000 else 5
    batch = 8 if n < 64 else 16 if n < 256 else 32
    yield Field(
        "batch_size",
        batch,
        f"small, so that an epoch of {n} images has enough steps" if batch < 32 else "a common value",
    )
    yield Field("epochs", epochs, f"a first guess for {n} images; the plot of the run shows whether more epochs help")
    if max(facts.counts.values()) >= UNEVEN * min(facts.counts.values()):
        yield Field(
            "metrics",
            ("balanced_accuracy",),
            f"the classes differ in size: always predicting the largest is right in {100 * facts.guessing:.1f} %, "
            f"but has a balanced accuracy of {100 / len(facts.counts):.1f} %",
        )


def _augment(facts: Facts) -> Field:
    named = [name for name in facts.counts if any(word in name.lower() for word in MIRRORED)]
    if all(len(name) == 1 for name in facts.counts):  # digits or letters
        named = [*facts.counts]
    if named:
        return Field("augment", None, f"no mirroring, because a mirrored {named[0]!r} may be another class")
    return Field(
        "augment", "flip", "mirrors left and right at random; set None if a mirrored image may be another class"
    )


def _gate(facts: Facts) -> Iterator[Field]:
    baseline = facts.guessing
    gate = min(0.99, round(baseline + ABOVE_BASELINE * (1 - baseline), 2))
    reason = f"the gate of `harness test`; the baseline (always the largest class) is {100 * baseline:.1f} %"
    if facts.test:
        low, high = wilson_interval(gate * facts.test, facts.test)
        reason += (
            f". On {facts.test} test images, this accuracy has a 95 % interval of {100 * low:.0f} to {100 * high:.0f} %"
        )
        luck = baseline_luck(baseline, gate, facts.test)
        if luck > LUCK:
            reason += (
                f", and the baseline would pass with a probability of {100 * luck:.0f} %: collect more test images"
            )
    else:
        reason += ". There are no test images yet: move some to a separate folder, outside data"
    if max(facts.counts.values()) >= UNEVEN * min(facts.counts.values()):
        balanced = round(1 / len(facts.counts) + ABOVE_BASELINE * (1 - 1 / len(facts.counts)), 2)
        reason += (
            f". The classes differ in size, so also try: harness test RUN --metric balanced_accuracy "
            f"--min-accuracy {balanced}"
        )
    yield Field("min_accuracy", gate, reason)
