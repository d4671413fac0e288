"""The model of one fold before its first step: built, seeded, with its weights, its prefix frozen."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.config.experiment import Experiment
from harness.config.fields import plain
from harness.data.transforms import Transform
from harness.models.build import build, supports_channels_last
from harness.models.freezing import freeze
from harness.models.weights import Weights, imagenet_weights, weights_from_file

# what blank images have shown: (architecture, classes, image size) -> whether it works in channels-last order
_channels_last: dict[tuple[Any, int, int], bool] = {}


@dataclass(frozen=True)
class PreparedModel:
    """A model with its weights loaded and its prefix frozen, and what its inputs must go through."""

    model: nn.Module
    transform: Transform
    weights_note: str  # what was done about the weights, one sentence
    weights_digest: str | None  # of the data that they were trained on, where they say
    channels_last: bool  # whether it works on images in that order


def prepare_model(experiment: Experiment, classes: Sequence[str], fold: int) -> PreparedModel:
    """The model of one fold. What is random in it, and in all that follows, is a function of (seed, fold).

    Raises ModelError where the model, its weights, or what to freeze of it cannot be.
    """
    _seed_everything(experiment.seed, fold)
    built = (experiment.model, len(classes), experiment.image_size)
    model = build(*built, check=built not in _channels_last)
    if built not in _channels_last:
        _channels_last[built] = supports_channels_last(model, experiment.image_size)
    weights = _weights(experiment)
    note = "from scratch" if isinstance(experiment.model, str) else "as the experiment's own function makes them"
    if weights is not None:
        note = weights.load_into(model, plain(experiment.model), classes)
    freeze(model, experiment.freeze)
    transform = Transform(experiment.image_size)
    if weights is not None:
        transform = Transform(experiment.image_size, weights.mean, weights.std)
    return PreparedModel(model, transform, note, weights.data_digest if weights else None, _channels_last[built])


def _seed_everything(seed: int, fold: int) -> None:
    """Every global generator that a model, a callback or a loss may draw from. Augmentations have their own."""
    words = np.random.SeedSequence((seed, fold)).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(words[1])
    random.seed(int(words[2]))


def _weights(experiment: Experiment) -> Weights | None:
    """Where the model starts from. A function makes its own model: for it, the default "imagenet" means nothing."""
    if experiment.weights is None or (callable(experiment.model) and experiment.weights == "imagenet"):
        return None
    if experiment.weights == "imagenet":
        return imagenet_weights(plain(experiment.model))
    path = Path(experiment.weights)
    try:
        return _read_weights(path, path.stat().st_mtime_ns)
    except OSError:
        return weights_from_file(path)  # which says what is wrong with it


@functools.lru_cache(maxsize=1)
def _read_weights(path: Path, _changed: int) -> Weights:
    """Read once for all folds, unless the file has changed since."""
    return weights_from_file(path)
