"""The model of one fold before its first step: seeded, built, with its weights, its prefix frozen."""

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
    """The weights that training starts from, fitted to `model`; None for a model that starts from scratch.

    A function makes its own model: for it, the default "imagenet" means nothing.

    Raises:
        ModelError: The file is missing, damaged, or holds no weights for the model; or "imagenet" was typed for a
            model that a function makes.
        RemoteError: A library's weights cannot be downloaded.
    """
    means_nothing = callable(experiment.model) and experiment.weights == "imagenet"
    if means_nothing and experiment.origin("weights") == "command line":
        raise ModelError(
            "weights=imagenet is for models that are named",
            "the model is made by a function, which loads its own weights or none",
            "load them in that function; or -s weights=FILE, or -s weights=none",
        )
    if experiment.weights is None or means_nothing:
        return None
    architecture, shape = json_value(experiment.model), preparation_of(experiment).shape
    if experiment.weights == "imagenet":
        published = published_weights(architecture, len(classes), shape)
        return library_weights(published, model, architecture, shape)
    return read_weights(Path(experiment.weights)).fit(model, architecture, classes, shape, experiment.weights_key)


def untrained_model(experiment: Experiment, classes: Sequence[str], fold: int, check: bool = False) -> nn.Module:
    """Builds the model of one fold, before its weights are loaded.

    Global random generators are seeded first: what is random in the model, and in all that follows, is a function of
    (seed, fold).

    Args:
        experiment: What to build, and the seed.
        classes: Names of the classes, one logit each.
        fold: 1-based.
        check: Whether to send blank images through the model first.

    Raises ModelError or UserCodeError if the model is not possible.
    """
    _seed_everything(experiment.seed, fold)
    return build(experiment.model, len(classes), preparation_of(experiment).shape, check)


def prepared(experiment: Experiment, model: nn.Module, weights: Weights | None) -> nn.Module:
    """The model with its weights loaded and its prefix frozen. Raises ModelError if that is not possible."""
    if weights is not None:
        weights.load_into(model, json_value(experiment.model))
    freeze(model, experiment.freeze, preparation_of(experiment).shape)
    return model


def new_model(experiment: Experiment, weights: Weights | None, classes: Sequence[str], fold: int) -> nn.Module:
    """The model of one fold as it is trained: `untrained_model`, then `prepared`."""
    return prepared(experiment, untrained_model(experiment, classes, fold), weights)


def cut_again(plan: Plan, model: nn.Module) -> Cut:
    """Cuts a fold's model where the plan's model was cut.

    Raises ModelError if it cannot be cut there: a function of the user's has returned another model than before.
    """
    try:
        # the plan has shown that the parts are the whole; a function may return another model each time
        cut_made = cut(model, plan.model.transform.shape, plan.model.features if plan.named_model else None)
        why = "" if cut_made.shape == plan.model.features else f"its frozen part gives {cut_made.shape} now"
    except CannotCutError as error:
        why = str(error)
    if why:
        raise ModelError(
            f"{json_value(plan.experiment.model)} returned another model than before the run",
            why,
            "let it return the same layers each time, or -s cache=false",
        )
    return cut_made


def _seed_everything(seed: int, fold: int) -> None:
    """Every global generator that a model, a callback or a loss may draw from. Augmentations have their own."""
    words = np.random.SeedSequence((seed, fold)).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(words[1])
    random.seed(int(words[2]))
