"""What a fit is fed: batches of images, or of what a frozen prefix makes of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.data.loading import Batches, EpochSampler, ImageSource, Source
from harness.data.pixels import Pixels
from harness.data.splits import Split
from harness.data.transforms import augmentation
from harness.engine.trainer import Callback, Trainer
from harness.models.freezing import count_parameters
from harness.models.prefix import CannotCutError, Cut
from harness.training.features import StillFrozen, feature_sources, find_cut, why_live
from harness.training.prepared import PreparedModel

LIGHT = 1_000_000  # parameters on features that are a vector


@dataclass(frozen=True)
class Feed:
    """The batches of one fit. Close them afterwards."""

    training: Batches
    validation: Batches
    images: Iterable[tuple[Tensor, Tensor]] = ()  # of the first epoch, where the training is on features of them
    guards: tuple[Callback, ...] = ()  # for the fit
    light: bool = False  # whether a step is so little work that a second core only waits

    def close(self) -> None:
        self.training.close()
        self.validation.close()


def feed(
    experiment: Experiment, prepared: PreparedModel, pixels: Pixels, split: Split, trainer: Trainer, cache: Cache
) -> Feed:
    """The batches that `prepared.model` trains on and is judged by.

    Where its frozen prefix can be run once, that is done now, and the model is from now on what comes after it. Raises
    DataError where an image is gone.
    """
    augment = augmentation(experiment.augment, experiment.image_size)
    images = ImageSource(pixels, prepared.transform, augment, experiment.seed, experiment.views)
    needed = sorted({*split.train, *split.valid})  # of a fast dev run, a few
    found = _cut(experiment, prepared, len(pixels.images), cache)
    if found is None:
        pixels.keep_in(cache if experiment.cache else None, needed)
        training: Source = images
        validation: Source = ImageSource(pixels, prepared.transform)
    else:
        trainer.place(prepared.model)
        training, validation = feature_sources(experiment, found, pixels, needed, prepared.transform, trainer, cache)
        found.apply(prepared.model)

    def batches(source: Source, indices: tuple[int, ...], shuffle: bool, epoch: int = 0) -> Batches:
        sampler = EpochSampler(indices, experiment.batch_size, experiment.seed, shuffle)
        sampler.epoch = epoch
        workers = 0 if epoch else choose_workers(experiment.workers, source, trainer.device)
        return Batches(source, pixels.images.labels, sampler, workers=workers, device=trainer.device)

    sides = batches(training, split.train, shuffle=True), batches(validation, split.valid, shuffle=False)
    if found is None:
        return Feed(*sides)
    light = len(found.shape) == 1 and count_parameters(prepared.model)[0] < LIGHT
    return Feed(*sides, batches(images, split.train, shuffle=True, epoch=1), (StillFrozen(found.prefix),), light)


def choose_workers(asked: int | str, source: Source, device: torch.device) -> int:
    """How many processes load images: as many as are asked for, or as augmentation for a GPU needs.

    Without augmentation, loading is copying; and on a CPU they would take from the training what they give.
    """
    if isinstance(asked, int):
        return asked
    helps = source.random and device.type == "cuda" and sys.platform == "linux"
    return min(16, max(1, (os.cpu_count() or 1) - 1)) if helps else 0


def _cut(experiment: Experiment, prepared: PreparedModel, images: int, cache: Cache) -> Cut | None:
    """Where a prefix is frozen, and can be run once."""
    if experiment.freeze is False or why_live(experiment):
        return None
    try:
        return find_cut(experiment, prepared.model, images, cache)
    except CannotCutError:  # the plan says why
        return None
