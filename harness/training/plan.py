"""`Plan`: all decisions of a run, made once before its first step. Later code reads it and decides nothing."""

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
from harness.util.text import counted, counts_text, short_repr, size_text

LIGHT = 1_000_000  # maximum trainable parameters for one thread, if features are vectors


@dataclass(frozen=True)
class Workers:
    """Number of processes that load batches; 0 loads them in the training process. Results do not depend on it."""

    training: int
    validation: int


@dataclass(frozen=True)
class Inputs:
    """The normalisation of a model's inputs.

    Attributes:
        mean: Per channel, for values from 0 to 1.
        std: Per channel.
        source: Where they come from, for display; empty if they are ImageNet's and the model is of a library.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        mean, std = (_numbers(values) for values in (self.mean, self.std))
        return f"normalised by mean {mean} and deviation {std} ({self.source})"


@dataclass(frozen=True)
class ModelPlan:
    """The decisions about the model, the same for each fold.

    Attributes:
        weights: The initial weights, read once; None to train from scratch.
        weights_note: What was done about them, in one sentence.
        inputs: The normalisation of the inputs, and where it comes from.
        transform: From a decoded image to the model's input.
        channels_last: Whether images and model use that memory format.
        trainable: Number of parameters.
        frozen: Number of parameters.
        features: Shape of one image's features if the frozen prefix runs once per image; else None.
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
    """What a run will do, from `make_plan`. Making a plan reads all images and builds the model, but trains nothing.

    Attributes:
        experiment: The fields, as written and overridden.
        images: Paths and labels.
        pixels: The images, as far as they are decoded.
        fingerprints: (N,) int64, equal for images whose decoded pixels are equal.
        cache: Stores features and decoded images.
        digest: MD5 of the names and contents of the images.
        dvc: The `.dvc` file that tracks the images, and whether they match it; None without one.
        splits: Fold, from 1 -> indices of training, inner and validation images. With repeats, the numbers continue.
        steered_by: What changes the training by metrics of the inner part; empty if nothing does.
        groups: (N,) images with the same number are not independent; None if all are.
        device: The device of the whole run.
        precision: Of training and validation, with the reason for it.
        model: The decisions about the model.
        workers: Processes that load batches.
        skipped: Images that cannot be decoded and are left out: path -> reason.
        shrunk: The number of these images per class, for display.
        leaked: Number of validation images that are also training images.
        notes: Warnings to show before the run starts.
        near_copies: Indices of validation images with a near copy in the training set of their fold.
        lean: Whether this is one of many runs and draws no plots.
        fast_dev_run: Whether the run only tries each part once; its numbers mean nothing.
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

    def __repr__(self) -> str:
        epochs = f"{len(self.splits)} folds of {counted(self.experiment.epochs, 'epoch')}"
        return short_repr(self, f"{self.experiment.name!r}: {epochs} on {len(self.images)} images, {self.device}")

    @property
    def named_model(self) -> bool:
        """Whether the model is a library's model, given by name, and not made by a function of the user."""
        return isinstance(self.experiment.model, str)

    @property
    def once(self) -> bool:
        """Whether the frozen prefix runs once per image instead of in every epoch."""
        return self.model.features is not None

    @property
    def one_thread(self) -> bool:
        """Whether a training step is so short that a second thread does not help."""
        is_vector = self.model.features is not None and len(self.model.features) == 1
        return self.device.type == "cpu" and is_vector and self.model.trainable < LIGHT

    @property
    def kept_by(self) -> str | None:
        """The metric that chooses the epoch of the saved weights; None for the last epoch."""
        return self.experiment.monitor if self.experiment.epoch == "best" else None

    def title(self, fold: int) -> str:
        """Returns the display name of a fold, for example "fold 2/5"; 0 is the refit."""
        experiment = self.experiment
        if fold == 0:
            return "refit"
        number, repeat = fold_and_repeat(fold, experiment.folds)
        name = f"fold {number}/{experiment.folds}" if experiment.folds else "hold-out"
        return name if experiment.repeats == 1 else f"{name}, repeat {repeat}/{experiment.repeats}"

    def seed_of(self, fold: int) -> int:
        """Returns the seed for a fold's sample order and augmentation. Each repeat has a different one."""
        return repeat_seed(self.experiment, fold)

    def lines(self) -> list[str]:
        """Returns the first lines of a run: what it will do, on which data, and the warnings."""
        experiment, first = self.experiment, next(iter(self.splits.values()))
        folds = (
            f"{len(self.splits) // experiment.repeats} of {experiment.folds} folds"
            if experiment.folds
            else f"one hold-out{self._held_out}"
        )
        folds += f", {experiment.repeats} times with other seeds," if experiment.repeats > 1 else ""
        counts = counts_text(self.images.counts())
        inner = f", inner part {len(first.inner)} (for {', '.join(self.steered_by) or 'inner_fraction'})"
        sizes = f"training set {len(first.train)}{inner if first.inner else ''}, validation set {len(first.valid)}"
        frozen = frozen_part(experiment.freeze)
        once = ", run once per image" if self.once else ""
        count = torch.get_num_threads()
        threads = f" ({count} thread{'s' if count > 1 else ''})" if self.device.type == "cpu" else ""
        dev = ", two batches each (fast dev run)" if self.fast_dev_run else ""
        return [
            f"{experiment.name}: {folds} of {counted(experiment.epochs, 'epoch')}{dev}{self._left_out}",
            f"  data       {self.images.root}: {len(self.images)} images ({counts}){self._in_groups}; {sizes}",
            f"  model      {_named(experiment.model)} at {self._size}; {frozen} frozen{once}: "
            f"{self.model.trainable:,} parameters to train, {self.model.frozen:,} frozen",
            f"  weights    {self.model.weights_note}",
            *self._inputs,
            f"  training   {_named(experiment.optimizer)}, lr {experiment.lr:g}, "
            f"weight decay {experiment.weight_decay:g}, batches of {experiment.batch_size}, "
            f"scheduler {_named(experiment.scheduler)}, augmentation {_named(experiment.augment)}, "
            f"loss {_named(experiment.loss)}",
            f"  device     {self.device}{threads}, {self.precision.name}: {self.precision.reason}",
            *(f"  warning    {note}" for note in self.notes),
        ]

    @property
    def _size(self) -> str:
        """The size of the images, and each setting of them that is not the default."""
        experiment = self.experiment
        grey = ", grey" if experiment.channels == 1 else ""
        resized = "" if experiment.resize == "squash" else f", {experiment.resize}"
        return f"{size_text(experiment.image_size)}{grey}{resized}"

    @property
    def _inputs(self) -> list[str]:
        """The preparation of inputs, if it is not the default."""
        model, cropped = self.model, self.experiment.center_crop
        parts = [str(model.inputs)] if model.inputs.source else []
        if cropped < 1:
            parts.append(f"resized to 1/{cropped:g}, then the centre is cropped")
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
        """Returns a plan of one epoch with two batches per phase, spread over the classes, which runs all code."""
        most = 2 * self.experiment.batch_size
        splits = {
            fold: Split(*(_spread(part, most) for part in (split.train, split.valid, split.inner)))
            for fold, split in self.splits.items()
        }
        experiment = self.experiment.override({"epochs": "1"})
        return replace(self, experiment=experiment, splits=splits, fast_dev_run=True)


def frozen_part(freeze: bool | str) -> str:
    """Returns which part of a model is frozen, for display."""
    if isinstance(freeze, str):
        return f"all up to {freeze}"
    return "all but the head" if freeze else "nothing"


def _spread(indices: Sequence[int], most: int) -> tuple[int, ...]:
    """Returns at most `most` of the indices, evenly spaced."""
    count = min(most, len(indices))
    return tuple(indices[i * len(indices) // count] for i in range(count))


def _numbers(values: Sequence[float]) -> str:
    """Returns the values for display; only one number if all are equal."""
    return (
        ", ".join(f"{value:g}" for value in dict.fromkeys(values))
        if len({*values}) == 1
        else ", ".join(f"{value:g}" for value in values)
    )


def _named(value: Any) -> str:
    """Returns a setting for display: the name of a function, or the class and arguments of an object."""
    return "none" if value is None else value if isinstance(value, str) else without_module(str(json_value(value)))


def choose_workers(
    asked: int | str, augmented: bool, device: torch.device, batch: int = 0, free: int | None = None
) -> Workers:
    """Returns the number of loader processes for `asked`, a number or "auto".

    "auto" uses none without augmentation, because loading is then only copying, and none on a CPU, because they
    would take cores from the training.

    Args:
        asked: The experiment's `workers`.
        augmented: Whether training images are augmented in each epoch.
        device: The device of the run.
        batch: Bytes of a training batch as loaded.
        free: Bytes of free shared memory; None if unknown.
    """
    if isinstance(asked, int):
        return Workers(asked, asked)
    helps = augmented and device.type == "cuda" and sys.platform == "linux"
    wanted = min(16, max(1, core_count() - 1)) if helps else 0
    return Workers(most_workers(wanted, batch, AHEAD, free), 0)
