"""Makes the model of one fold: seeded, built, with its weights loaded and its prefix frozen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.data.prepare import preparation_of
from harness.errors import ModelError
from harness.models.build import build, published_weights
from harness.models.freezing import freeze
from harness.models.prefix import CannotCutError, Cut, cut
from harness.models.weights import Weights, library_weights, read_weights
from harness.training.plan import Plan


def start_weights(experiment: Experiment, model: nn.Module, classes: Sequence[str]) -> Weights | None:
    """Returns the initial weights, adapted to `model`; None for a model that is trained from scratch.

    A function makes its own model, so the default "imagenet" is ignored for it.

    Raises:
        ModelError: The file is missing or damaged, or has no weights for the model; or the command line says
            "imagenet" for a model that a function makes.
        RemoteError: A library's weights cannot be downloaded.
    """
    is_ignored = callable(experiment.model) and experiment.weights == "imagenet"
    if is_ignored and experiment.origin("weights") == "command line":
        raise ModelError(
            "weights=imagenet works only for models of torchvision and timm",
            "a function makes this model, and loads its weights itself",
            "load them in that function; or -s weights=FILE, or -s weights=none",
        )
    if experiment.weights is None or is_ignored:
        return None
    architecture, shape = json_value(experiment.model), preparation_of(experiment).shape
    if experiment.weights == "imagenet":
        published = published_weights(architecture, len(classes), shape)
        return library_weights(published, model, architecture, shape)
    return read_weights(Path(experiment.weights)).fit(model, architecture, classes, shape, experiment.weights_key)


def untrained_model(experiment: Experiment, classes: Sequence[str], fold: int, check: bool = False) -> nn.Module:
    """Builds the model of one fold, before its weights are loaded.

    First seeds the global random generators, so that the model and all later random numbers depend only on (seed,
    fold).

    Args:
        experiment: What to build, and the seed.
        classes: Names of the classes, one logit each.
        fold: From 1.
        check: Whether to test the model on blank images.

    Raises:
        ModelError: The model cannot be built.
        UserCodeError: The experiment's function failed.
    """
    _seed_everything(experiment.seed, fold)
    return build(experiment.model, len(classes), preparation_of(experiment).shape, check)


def prepared(experiment: Experiment, model: nn.Module, weights: Weights | None) -> nn.Module:
    """Loads the weights and freezes the prefix. Raises ModelError if that is not possible."""
    if weights is not None:
        weights.load_into(model, json_value(experiment.model))
    freeze(model, experiment.freeze, preparation_of(experiment).shape)
    return model


def new_model(experiment: Experiment, weights: Weights | None, classes: Sequence[str], fold: int) -> nn.Module:
    """Returns the model of one fold, ready for training: `untrained_model`, then `prepared`."""
    return prepared(experiment, untrained_model(experiment, classes, fold), weights)


def cut_again(plan: Plan, model: nn.Module) -> Cut:
    """Cuts a fold's model where the plan's model was cut.

    Raises ModelError if that is not possible, because the experiment's function returned a different model.
    """
    try:
        # the plan checked that the parts equal the whole; but a function may return another model each time
        cut_made = cut(model, plan.model.transform.shape, plan.model.features if plan.named_model else None)
        why = "" if cut_made.shape == plan.model.features else f"its frozen part gives {cut_made.shape} now"
    except CannotCutError as error:
        why = str(error)
    if why:
        raise ModelError(
            f"{json_value(plan.experiment.model)} returned a different model than before the run",
            why,
            "return the same layers each time, or -s cache=false",
        )
    return cut_made


def _seed_everything(seed: int, fold: int) -> None:
    """Seeds each global generator that a model, a callback or a loss may use. Augmentations have their own."""
    seeds = np.random.SeedSequence((seed, fold)).generate_state(3)
    torch.manual_seed(int(seeds[0]))
    np.random.seed(seeds[1])
    random.seed(int(seeds[2]))
