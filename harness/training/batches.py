"""The batches of a fit: images, or the features that a frozen prefix computes from images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from harness.data.loading import Batches, EpochSampler, ImageSource, Source
from harness.data.splits import Split
from harness.data.transforms import augmentation
from harness.engine.trainer import Callback, Trainer
from harness.models.prefix import Cut
from harness.training.features import StillFrozen, feature_sources
from harness.training.model import cut_again
from harness.training.plan import Plan


@dataclass(frozen=True)
class FitBatches:
    """The batches of one fit. Call `close` after the fit.

    Attributes:
        training: (inputs, targets), shuffled.
        validation: (inputs, targets), in the order of the listing; None without a validation set.
        inner: The same for the inner part; None without one.
        images: Training images of the first epoch if `training` gives their features; else empty.
        guards: Callbacks that these batches require.
    """

    training: Batches
    validation: Batches | None
    inner: Batches | None = None
    images: Iterable[tuple[Tensor, Tensor]] = ()
    guards: tuple[Callback, ...] = ()

    def close(self) -> None:
        for batches in (self.training, self.validation, self.inner):
            if batches is not None:
                batches.close()


def fit_batches(plan: Plan, split: Split, model: nn.Module, trainer: Trainer, seed: int) -> FitBatches:
    """Returns the batches for the training and validation of `model`. `seed` decides their order and augmentation.

    If the plan runs the frozen prefix once per image, this computes the features and changes `model` to take features.
    Raises DataError if an image is missing.
    """
    experiment, pixels, transform = plan.experiment, plan.pixels, plan.model.transform
    augment = augmentation(experiment.augment, transform.preparation)
    images = ImageSource(pixels, transform, augment, seed, experiment.views)
    needed = sorted({*split.train, *split.valid, *split.inner})  # only a few images in a fast dev run

    def batches(source: Source, indices: tuple[int, ...], shuffle: bool, workers: int) -> Batches:
        sampler = EpochSampler(indices, experiment.batch_size, seed, shuffle)
        return Batches(source, pixels.images.labels, sampler, workers=workers, device=trainer.device)

    cut: Cut | None = None
    training: Source = images
    validation: Source = ImageSource(pixels, transform)
    if plan.once:
        cut = cut_again(plan, model)
        trainer.move_model(model)
        training, validation = feature_sources(plan, cut, needed, trainer, seed)
        cut.apply(model)
    else:
        pixels.keep_in(plan.cache if experiment.cache else None, needed)
    train = batches(training, split.train, True, plan.workers.training)
    valid, inner = (
        batches(validation, part, False, plan.workers.validation) if part else None
        for part in (split.valid, split.inner)
    )
    if cut is None:
        return FitBatches(train, valid, inner)
    first = batches(images, split.train, True, workers=0)
    first.set_epoch(1)
    return FitBatches(train, valid, inner, first, (StillFrozen(cut.prefix),))
