"""What a model wants of its inputs: size, crop and interpolation, and by what they are normalised."""

from __future__ import annotations

import dataclasses

from torch import nn

from harness.config.experiment import WANTED, Experiment
from harness.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from harness.models.timm_models import is_timm
from harness.models.wanted import for_channels, normalisation_of, wishes
from harness.models.weights import Weights
from harness.training.plan import Inputs

FIELDS = ("image_size", "resize", "center_crop", "interpolation")  # that a library's model has a wish for


def with_wanted(experiment: Experiment) -> Experiment:
    """The experiment with the size, the crop and the interpolation that timm evaluates its model with.

    What the experiment says itself stays; so do the defaults for models that are not timm's. Raises ModelError for a
    name that timm does not know.
    """
    free = [name for name in FIELDS if experiment.origin(name) in ("default", WANTED)]
    if is_timm(experiment.model):
        wanted = wishes(str(experiment.model))
    else:
        wanted = {item.name: item.default for item in dataclasses.fields(experiment)}
        free = [name for name in free if experiment.origin(name) == WANTED]
    changes = {name: wanted[name] for name in free}
    return experiment.found(changes, WANTED) if changes else experiment


def choose_inputs(experiment: Experiment, weights: Weights | None, model: nn.Module) -> Inputs:
    """By what inputs are normalised: as the experiment says, else its weights, else its model, else ImageNet's.

    A model says it as timm's do, in a `pretrained_cfg` or a `default_cfg` with a mean and a deviation.
    """
    if experiment.normalise == "imagenet":
        return Inputs(IMAGENET_MEAN, IMAGENET_STD, "ImageNet's, as normalise says")
    if isinstance(experiment.normalise, tuple):
        mean, std = ((part,) if isinstance(part, (int, float)) else part for part in experiment.normalise)
        return Inputs(for_channels(mean), for_channels(std), "as normalise says")
    if weights is not None and weights.mean is not None and weights.std is not None:
        usual = (weights.mean, weights.std) == (IMAGENET_MEAN, IMAGENET_STD)
        return Inputs(weights.mean, weights.std, "" if usual else "as its weights were trained")
    said = normalisation_of(model)
    if said is not None:
        return Inputs(*said, "as the model's own pretrained_cfg says")
    named = isinstance(experiment.model, str)
    return Inputs(IMAGENET_MEAN, IMAGENET_STD, "" if named else "ImageNet's; -s normalise=MEAN,DEVIATION for others")


def scratch_note(experiment: Experiment) -> str:
    """One sentence about weights that are not loaded."""
    return "from scratch" if isinstance(experiment.model, str) else "as the experiment's own function makes them"
