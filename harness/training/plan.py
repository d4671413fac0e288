"""`Plan`: every decision of a run, made once before its first step. What comes after reads it and decides nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.config.object_text import without_module
from harness.data.groups import Groups, number_of
from harness.data.images import Images
from harness.data.loading import AHEAD
from harness.data.pixels import Pixels
from harness.data.shared_memory import core_count, most_workers
from harness.data.splits import Split
from harness.data.transforms import Transform
from harness.engine.precision import Precision
from harness.models.weights import Weights
from harness.runs.record_parts import DvcRecord
from harness.training.repeats import fold_and_repeat, repeat_seed
from harness.util.text import size_text

LIGHT = 1_000_000  # trainable parameters on features that are a vector


@dataclass(frozen=True)
class Workers:
    """Number of processes that load batches; 0 loads them in the training process. Results do not depend on it."""

    training: int
    validation: int


@dataclass(frozen=True)
class Inputs:
    """By what a model's inputs are normalised.

    Attributes:
        mean: Per channel, of values from 0 to 1.
        std: Per channel.
        source: Who says so, for people; empty for ImageNet's with a model of torchvision's or ours.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        mean, std = (_numbers(values) for values in (self.mean, self.std))
        return f"normalised by mean {mean} and deviation {std} ({self.source})"


@dataclass(frozen=True)
class ModelPlan:
    """What was decided about the model, the same for each fold.

    Attributes:
        weights: To start from, read once; None from scratch.
        weights_note: What was done about them, one sentence.
        inputs: By what the inputs are normalised, and who says so.
        transform: From a decoded image to the model's input.
        channels_last: Whether images and model are in that memory order.
        trainable: Number of parameters.
        frozen: Number of parameters.
        features: Shape of one image's features if the frozen prefix runs once per image; None if it does not.
        why_live: Why a frozen prefix runs in every epoch; empty if it does not, or if nothing is frozen.
    """

    weights: Weights | None
    weights_note: str
    inputs: Inputs
    transform: Transform
    channels_last: bool
    trainable: int
    frozen: int
    features: tuple[int, ...] | None
    why_live: str


@dataclass(frozen=True)
class Plan:
    """What a run will do. `make_plan` makes it: it reads every image and builds the model once, but trains nothing.

    Attributes:
        experiment: The fields as written and overridden.
        images: Paths and labels.
        pixels: The images as far as they are decoded.
        fingerprints: (N,) int64, equal if the decoded pixels are.
        cache: Where features and decoded images are kept.
        digest: MD5 of the images' names and contents.
        dvc: The `.dvc` file that tracks the images, and whether they are what it says; None if there is none.
        splits: By fold, 1-based: indices of training, inner and validation images. With repeats, the fold after the
            last one is the first one again.
        steered_by: What changes the training by metrics of the inner part; empty if nothing does.
        groups: (N,) images with the same number are not independent; None if all are.
        device: The device of the whole run.
        precision: Of training and validation, with the reason for it.
        model: What was decided about the model.
        workers: Processes that load batches.
        skipped: Images that cannot be decoded and are left out: path -> why.
        shrunk: How many images of each class these are, for people.
        leaked: Validation images that are also trained on.
        notes: Warnings to show before the run starts.
        near_copies: Indices of the validation images with a near copy in the training part of their fold.
        lean: Whether this is one of many runs: no pictures.
        fast_dev_run: Whether the run only tries everything once; its numbers mean nothing.
    """

    experiment: Experiment
    images: Images
    pixels: Pixels
    fingerprints: NDArray[np.int64]
    cache: Cache
    digest: str
    dvc: DvcRecord | None
    splits: dict[int, Split]
    steered_by: tuple[str, ...]
    groups: Groups | None
    device: torch.device
    precision: Precision
    model: ModelPlan
    workers: Workers
    skipped: dict[str, str]
    shrunk: str
    leaked: int
    notes: tuple[str, ...]
    near_copies: tuple[int, ...] = ()
    lean: bool = False
    fast_dev_run: bool = False

    @property
    def named_model(self) -> bool:
        """Whether the model is one of a library's, by name, and not made by a function of the user's."""
        return isinstance(self.experiment.model, str)

    @property
    def once(self) -> bool:
        """Whether the frozen prefix runs once per image, and not in every epoch."""
        return self.model.features is not None

    @property
    def one_thread(self) -> bool:
        """Whether a training step is so little work that a second thread only waits."""
        is_vector = self.model.features is not None and len(self.model.features) == 1
        return self.device.type == "cpu" and is_vector and self.model.trainable < LIGHT

    @property
    def kept_by(self) -> str | None:
        """The metric that chooses the epoch whose weights are kept; None for the last epoch."""
        return self.experiment.monitor if self.experiment.epoch == "best" else None

    def title(self, fold: int) -> str:
        """A fold's name for people: "fold 2/5"; 0 is the refit."""
        experiment = self.experiment
        if fold == 0:
            return "refit"
        number, repeat = fold_and_repeat(fold, experiment.folds)
        name = f"fold {number}/{experiment.folds}" if experiment.folds else "hold-out"
        return name if experiment.repeats == 1 else f"{name}, repeat {repeat}/{experiment.repeats}"

    def seed_of(self, fold: int) -> int:
        """The seed of a fold's order of samples and of its augmentation: another one in each repeat."""
        return repeat_seed(self.experiment, fold)

    def lines(self) -> list[str]:
        """The first lines of a run: what will happen, on what, and the warnings."""
        experiment, first = self.experiment, next(iter(self.splits.values()))
        folds = (
            f"{len(self.splits) // experiment.repeats} of {experiment.folds} folds"
            if experiment.folds
            else f"one hold-out{self._held_out}"
        )
        folds += f", {experiment.repeats} times with other seeds," if experiment.repeats > 1 else ""
        counts = ", ".join(f"{name} {count}" for name, count in self.images.counts().items())
        steer = f", {len(first.inner)} to steer by ({', '.join(self.steered_by) or 'inner_fraction'})"
        sides = f"{len(first.train)} to learn from{steer if first.inner else ''}, {len(first.valid)} to judge by"
        frozen = frozen_part(experiment.freeze)
        once = ", run once per image" if self.once else ""
        count = torch.get_num_threads()
        threads = f" ({count} thread{'s' if count > 1 else ''})" if self.device.type == "cpu" else ""
        dev = ", two batches each: a fast dev run" if self.fast_dev_run else ""
        return [
            f"{experiment.name}: {folds} of {experiment.epochs} epochs{dev}{self._left_out}",
            f"  data       {self.images.root}: {len(self.images)} images ({counts}){self._in_groups}; {sides}",
            f"  model      {_named(experiment.model)} at {self._size}; {frozen} frozen{once}: "
            f"{self.model.trainable:,} parameters to train, {self.model.frozen:,} frozen",
            f"  weights    {self.model.weights_note}",
            *self._inputs,
            f"  training   {_named(experiment.optimizer)}, lr {experiment.lr:g}, "
            f"weight decay {experiment.weight_decay:g}, batches of {experiment.batch_size}, "
            f"scheduler {_named(experiment.scheduler)}, augmentation {_named(experiment.augment)}, "
            f"loss {_named(experiment.loss)}",
            f"  device     {self.device}{threads}, {self.precision.name}: {self.precision.reason}",
            *(f"  note       {note}" for note in self.notes),
        ]

    @property
    def _size(self) -> str:
        """The size of the images, and what is not as usual about them."""
        experiment = self.experiment
        grey = ", grey" if experiment.channels == 1 else ""
        resized = "" if experiment.resize == "squash" else f", {experiment.resize}"
        return f"{size_text(experiment.image_size)}{grey}{resized}"

    @property
    def _inputs(self) -> list[str]:
        """How images become inputs, if not as usual."""
        model, cropped = self.model, self.experiment.center_crop
        parts = [str(model.inputs)] if model.inputs.source else []
        if cropped < 1:
            parts.append(f"resized to 1/{cropped:g} and cut to the middle")
        return [f"  inputs     {'; '.join(parts)}"] if parts else []

    @property
    def _held_out(self) -> str:
        return f" ({self.experiment.valid_data})" if self.experiment.valid_data else ""

    @property
    def _left_out(self) -> str:
        return f"; images that cannot be decoded are left out: {self.shrunk}" if self.shrunk else ""

    @property
    def _in_groups(self) -> str:
        return "" if self.groups is None else f" in {number_of(self.groups, range(len(self.groups)))} groups"

    def shortened(self) -> Plan:
        """The same for one epoch of two batches a phase, spread over the classes: everything is gone through."""
        most = 2 * self.experiment.batch_size
        splits = {
            fold: Split(*(_spread(part, most) for part in (split.train, split.valid, split.inner)))
            for fold, split in self.splits.items()
        }
        experiment = self.experiment.override({"epochs": "1"})
        return replace(self, experiment=experiment, splits=splits, fast_dev_run=True)


def frozen_part(freeze: bool | str) -> str:
    """For people: what of a model is frozen."""
    if isinstance(freeze, str):
        return f"all up to {freeze}"
    return "all but the head" if freeze else "nothing"


def _spread(indices: Sequence[int], most: int) -> tuple[int, ...]:
    """At most `most` of the indices, evenly spaced."""
    count = min(most, len(indices))
    return tuple(indices[i * len(indices) // count] for i in range(count))


def _numbers(values: Sequence[float]) -> str:
    """For people: one number if all are the same."""
    return (
        ", ".join(f"{value:g}" for value in dict.fromkeys(values))
        if len({*values}) == 1
        else ", ".join(f"{value:g}" for value in values)
    )


def _named(value: Any) -> str:
    """A setting for people: of a function, its name alone; of an object, its class and arguments."""
    return "none" if value is None else value if isinstance(value, str) else without_module(str(json_value(value)))


def choose_workers(
    asked: int | str, augmented: bool, device: torch.device, batch: int = 0, free: int | None = None
) -> Workers:
    """The loader processes for `asked`, which is a number or "auto".

    Without augmentation, loading is copying; and on a CPU, loader processes take cores from the training.

    Args:
        asked: The experiment's `workers`.
        augmented: Whether training images are augmented in each epoch.
        device: The device of the run.
        batch: Bytes of a training batch as it is loaded.
        free: Bytes of shared memory that are free; None if they are not known.
    """
    if isinstance(asked, int):
        return Workers(asked, asked)
    helps = augmented and device.type == "cuda" and sys.platform == "linux"
    wanted = min(16, max(1, core_count() - 1)) if helps else 0
    return Workers(most_workers(wanted, batch, AHEAD, free), 0)
