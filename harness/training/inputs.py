"""The inputs that a model expects: size, crop, interpolation and normalisation."""

from __future__ import annotations

import dataclasses

from torch import nn

from harness.config.experiment import WANTED, Experiment
from harness.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from harness.models.timm_models import is_timm
from harness.models.wanted import for_channels, normalisation_of, wishes
from harness.models.weights import Weights
from harness.training.plan import Inputs

FIELDS = ("image_size", "resize", "center_crop", "interpolation")  # fields that a library's model can set


def with_wanted(experiment: Experiment) -> Experiment:
    """Returns the experiment with the size, crop and interpolation that timm uses to evaluate its model.

    Fields that the experiment sets itself do not change. For models that are not from timm, the defaults stay. Raises
    ModelError for a name that timm does not know.
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
    """Returns the normalisation: of the experiment, or else of its weights, of its model, or of ImageNet.

    A model can define it as timm models do: by a `pretrained_cfg` or `default_cfg` with a mean and a deviation.
    """
    if experiment.normalise == "imagenet":
        return Inputs(IMAGENET_MEAN, IMAGENET_STD, "ImageNet's, set by normalise")
    if isinstance(experiment.normalise, tuple):
        mean, std = ((part,) if isinstance(part, (int, float)) else part for part in experiment.normalise)
        return Inputs(for_channels(mean), for_channels(std), "set by normalise")
    if weights is not None and weights.mean is not None and weights.std is not None:
        usual = (weights.mean, weights.std) == (IMAGENET_MEAN, IMAGENET_STD)
        return Inputs(weights.mean, weights.std, "" if usual else "as in the training of its weights")
    models_own = normalisation_of(model)
    if models_own is not None:
        return Inputs(*models_own, "from the model's pretrained_cfg")
    named = isinstance(experiment.model, str)
    return Inputs(IMAGENET_MEAN, IMAGENET_STD, "" if named else "ImageNet's; -s normalise=MEAN,DEVIATION for others")


def scratch_note(experiment: Experiment) -> str:
    """Returns one sentence for a model whose weights are not loaded."""
    return "from scratch" if isinstance(experiment.model, str) else "as the experiment's function makes them"
