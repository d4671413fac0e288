"""Features of images from a model's body. They compare images before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.data.pixels import Pixels
from harness.data.prepare import preparation_of
from harness.data.transforms import Transform
from harness.engine.device import choose_device
from harness.engine.precision import choose_precision
from harness.engine.trainer import Trainer
from harness.errors import ModelError
from harness.evaluation.sampling import spread_evenly
from harness.models.build import supports_channels_last
from harness.models.pooling import pooled
from harness.models.prefix import CannotCutError, cut
from harness.training.features import BATCH_SIZE, Features, plain_features
from harness.training.inputs import choose_inputs
from harness.training.model import prepared, start_weights, untrained_model
from harness.util.memory import keep_freed_memory
from harness.util.text import size_text

SAMPLE = 200  # number of mirrored images


@dataclass(frozen=True)
class ImageFeatures:
    """Features of N images.

    Attributes:
        values: (N, F) float32.
        sample: (S,) evenly spaced positions of images that were also mirrored.
        mirrored: (S, F) features of the mirrored images.
        about: Description of the model, its weights and the image size.
    """

    values: NDArray[np.float32]
    sample: NDArray[np.int64]
    mirrored: NDArray[np.float32]
    about: str


def image_features(
    experiment: Experiment, pixels: Pixels, classes: Sequence[str], cache: Cache, device: str = "auto"
) -> ImageFeatures:
    """Returns the features that a linear head on the experiment's frozen model gets, from the cache or computed now.

    Maps (F, h, w) are averaged over pixels, and tokens (T, F) over tokens.

    Args:
        experiment: Defines the model and its weights.
        pixels: The images, prepared as in the experiment.
        classes: Names of the classes.
        cache: Stores the features; a run with freeze=true uses the same ones.
        device: "auto", or a torch device.

    Raises:
        ModelError: The model has no pretrained weights, or its body cannot run alone.
        RemoteError: The weights cannot be downloaded.
        DataError: An image is missing.
    """
    frozen = replace(experiment, freeze=True, augment=None, views=None, callbacks=())
    model = untrained_model(frozen, classes, fold=1)
    weights = start_weights(frozen, model, classes)
    if weights is None:
        raise ModelError(
            f"{json_value(experiment.model)} has no features yet",
            "it has no pretrained weights",
            "-s model=resnet18 -s weights=imagenet, for example",
        )
    inputs = choose_inputs(frozen, weights, model)
    model = prepared(frozen, model, weights)
    transform = Transform(pixels.preparation, inputs.mean, inputs.std)
    chosen = choose_device(device)
    trainer = Trainer(precision=choose_precision(frozen.precision, chosen), device=chosen)
    trainer.channels_last = supports_channels_last(model, preparation_of(frozen).shape, chosen)
    if chosen.type == "cpu":
        keep_freed_memory()
    trainer.move_model(model).eval()
    try:
        body = cut(model, preparation_of(frozen).shape)
    except CannotCutError as error:
        raise ModelError(
            f"{json_value(experiment.model)} cannot give features", str(error), "use another model for this check"
        ) from error
    features = plain_features(frozen, pixels, transform, body, trainer, cache)
    count = len(pixels.hashes)
    sample = spread_evenly(count, SAMPLE)

    def mirrored() -> Iterator[Tensor]:
        for start in range(0, len(sample), BATCH_SIZE):
            images = transform.normalise(trainer.to_device(pixels.take(sample[start : start + BATCH_SIZE].tolist())))
            with torch.inference_mode(), trainer.autocast():
                yield body.prefix(images.flip(-1))

    about = f"{json_value(experiment.model)} with the weights {experiment.weights}, at {size_text(frozen.image_size)}"
    return ImageFeatures(_of_all(features, count), sample, np.concatenate([pooled(part) for part in mirrored()]), about)


def _of_all(features: Features, count: int) -> NDArray[np.float32]:
    """Returns (N, F) features. Works in batches, so that the maps of all images are never in memory at once."""
    values: NDArray[np.float32] | None = None
    for start in range(0, count, BATCH_SIZE):
        part = pooled(features.load([(1, i) for i in range(start, min(start + BATCH_SIZE, count))]))
        if values is None:
            values = np.empty((count, part.shape[1]), np.float32)
        values[start : start + len(part)] = part
    assert values is not None
    return values
