"""From facts about images to the fields of an experiment that suits them, each with its reason: a pure function."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.evaluation.accuracy import wilson_interval
from harness.workflows.new.look import MANY, VERY_MANY, Facts
from harness.workflows.new.size import SMALL, image_size, large_enough, resize, sides_text

FEW = 500  # training images below which only the head of a pretrained model is trained
FROM_GUESSING = 0.4  # the gate's place between guessing and no error: 0.70 for two classes of equal size
UNEVEN = 2.0  # the largest class has that many times the images of the smallest
LUCK = 0.05
MIRRORED = ("left", "right", "text", "letter", "digit", "number", "arrow", "sign")


@dataclass(frozen=True)
class Field:
    """A field of an experiment with its value.

    Attributes:
        name: Of the field.
        value: A plain value.
        reason: Why, for people.
        is_suggestion: Whether it is written as a comment: the user must decide.
    """

    name: str
    value: Any
    reason: str
    is_suggestion: bool = False


@dataclass(frozen=True)
class Choice:
    """What the model starts from.

    Attributes:
        model: Its name.
        why: For people.
        pretrained: Whether it starts from ImageNet's weights.
        frozen: Whether only its head is trained.
    """

    model: str
    why: str
    pretrained: bool = False
    frozen: bool = False


def suggest(facts: Facts, weights: str) -> list[Field]:
    """The fields of an experiment for these images, in the order of the file.

    Args:
        facts: What images there are.
        weights: Where ImageNet's weights are: "disk", "network" or "" (see `imagenet_at_hand`).
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


def luck_of_guessing(guessing: float, gate: float, images: int) -> float:
    """The probability that guessing with accuracy `guessing` reaches `gate` on that number of images."""
    from scipy.stats import binom

    return float(binom.sf(math.ceil(gate * images - 1e-9) - 1, images, guessing))


def _choice(facts: Facts, weights: str) -> Choice:
    typed = facts.experiment
    if typed.weights is None or typed.model == "small_cnn":
        return Choice("small_cnn", "98,000 parameters, which can be trained from scratch")
    if typed.origin("model") == "command line":
        return Choice(str(typed.model), "as typed", True, facts.images < FEW)
    if not large_enough(facts.sizes):
        return Choice("small_cnn", f"pictures of up to {SMALL} px are too small for the models of ImageNet")
    if not weights:
        return Choice(
            "small_cnn",
            "ImageNet's weights are not on this machine, and there is no network. With a file of weights: "
            'model="resnet18", weights="FILE"; with network: harness new again, with --force',
        )
    if facts.images < FEW:
        return Choice("resnet18", f"{facts.images} images are few: only the head is trained, in seconds", True, True)
    return Choice(
        "resnet18", f"{facts.images} images suffice to train all of it, gently, from pretrained weights", True
    )


def _data(facts: Facts) -> Iterator[Field]:
    counts = facts.counts
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    each = f"{smallest!r} has {counts[smallest]}, {largest!r} {counts[largest]}"
    if counts[smallest] == counts[largest]:
        each = f"{counts[smallest]} of each"
    yield Field("data", facts.experiment.data, f"{facts.images} training images of {len(counts)} classes: {each}")
    if facts.valid:
        yield Field("valid_data", facts.experiment.valid_data, f"{facts.valid} images in a separate folder or split")
    if facts.test:
        yield Field("test_data", facts.experiment.test_data, f"{facts.test} images for the last test, never trained on")


def _split(facts: Facts) -> Iterator[Field]:
    if facts.grouping is not None:
        fewer = f" and set folds={facts.grouping.folds}" if facts.grouping.folds < facts.folds else ""
        yield Field(
            "groups",
            facts.grouping.value,
            f"{facts.grouping.evidence}. If images of one group are alike (one patient, place or video), remove the "
            f'"#"{fewer}, or the accuracy will be too good',
            is_suggestion=True,
        )
    name, count = facts.rarest
    if facts.valid:
        yield Field("folds", 0, "the hold-out has its own images")
    elif facts.folds == 0:
        yield Field("folds", 0, f"of more than {VERY_MANY:,} images a fifth is enough to judge by")
    elif facts.folds == 3 and count >= 5 and facts.images > MANY:
        yield Field("folds", 3, f"more than {MANY:,} images: more folds would take longer and say little more")
    elif count < 5:
        yield Field("folds", facts.folds, f"{name!r} has only {count} independent images, and each fold needs one")
    elif facts.folds < 5:
        yield Field("folds", facts.folds, "the groups leave no more folds with images of every class")
    else:
        yield Field("folds", 5, "each image is judged once, by a model that was trained on the other four fifths")


def _pictures(facts: Facts, choice: Choice) -> Iterator[Field]:
    size, why = image_size(facts.sizes, choice.pretrained)
    yield Field("image_size", size, f"the pictures are {sides_text(facts.sizes)}: {why}")
    suggested = resize(facts.sizes, size)
    if suggested is not None:
        yield Field("resize", *suggested)
    if facts.grey:
        yield Field("channels", 1, f"the pictures are grey ({len(facts.sizes)} were looked at)")
    if facts.value_range is not None:
        low, high = facts.value_range
        yield Field(
            "value_range",
            facts.value_range,
            f"pictures of more than 8 bits: the values from {low:g} to {high:g} are used, in all of them together",
        )


def _model(choice: Choice) -> Iterator[Field]:
    yield Field("model", choice.model, choice.why)
    if choice.pretrained:
        yield Field("weights", "imagenet", "it knows edges, textures and shapes from 1.3 million photographs")
    else:
        yield Field("weights", None, "from scratch: a small network needs no pretrained weights")
    if choice.frozen:
        yield Field("freeze", True, 'the rest runs once per image; "layer3" or False trains more, and takes longer')


def _training(facts: Facts, choice: Choice) -> Iterator[Field]:
    n = facts.images
    if choice.frozen:
        yield Field("augment", None, "so that the frozen part runs once per image; see `views` for both")
    else:
        yield _augment(facts)
    if choice.frozen:
        yield Field("lr", 1e-3, "usual for a new head")
        epochs = 20
    elif choice.pretrained:
        yield Field("optimizer", "adamw", "usual for fine-tuning, with the next three")
        yield Field("lr", 1e-4, "low, so that the pretrained weights are not lost")
        yield Field("weight_decay", 1e-2, "keeps the weights small")
        yield Field("scheduler", "onecycle", "begins and ends gently")
        epochs = 8 if n < 2_000 else 5
    else:
        yield Field("lr", 1e-2, "high, for new weights")
        yield Field("scheduler", "onecycle", "begins and ends gently, so that the high rate does no harm")
        epochs = 30 if n < 500 else 15 if n < 2_000 else 10 if n < 10_000 else 5
    batch = 8 if n < 64 else 16 if n < 256 else 32
    yield Field("batch_size", batch, f"so that an epoch of {n} images has enough steps" if batch < 32 else "usual")
    yield Field("epochs", epochs, f"a first guess for {n} images; the curves of the run show whether more help")
    if max(facts.counts.values()) >= UNEVEN * min(facts.counts.values()):
        yield Field(
            "metrics",
            ("balanced_accuracy",),
            f"the classes differ in size: naming one always is right in {100 * facts.guessing:.1f} %, but its "
            f"balanced accuracy is {100 / len(facts.counts):.1f} %",
        )


def _augment(facts: Facts) -> Field:
    named = [name for name in facts.counts if any(word in name.lower() for word in MIRRORED)]
    if all(len(name) == 1 for name in facts.counts):  # digits or letters
        named = [*facts.counts]
    if named:
        return Field("augment", None, f"no mirroring: {named[0]!r} may not be the same in a mirror")
    return Field("augment", "flip", "mirrors left and right at random: look whether mirrored pictures keep their class")


def _gate(facts: Facts) -> Iterator[Field]:
    guessing = facts.guessing
    gate = min(0.99, round(guessing + FROM_GUESSING * (1 - guessing), 2))
    reason = f"the gate of `harness test`; guessing reaches {100 * guessing:.1f} %"
    if facts.test:
        low, high = wilson_interval(gate * facts.test, facts.test)
        reason += (
            f". On {facts.test} test images such an accuracy has an interval of {100 * low:.0f} to {100 * high:.0f} %"
        )
        luck = luck_of_guessing(guessing, gate, facts.test)
        if luck > LUCK:
            reason += f", and guessing would pass with a chance of {100 * luck:.0f} %: more test images are needed"
    else:
        reason += ". There are no test images yet: keep some apart, in a folder that is not in data"
    if max(facts.counts.values()) >= UNEVEN * min(facts.counts.values()):
        balanced = round(1 / len(facts.counts) + FROM_GUESSING * (1 - 1 / len(facts.counts)), 2)
        reason += (
            f". For classes of unequal size: harness test RUN --metric balanced_accuracy --min-accuracy {balanced}"
        )
    yield Field("min_accuracy", gate, reason)
