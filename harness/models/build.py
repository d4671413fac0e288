"""Builds classifiers of torchvision or timm by name, `small_cnn`, or the model that a user's function makes."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import ModelError, UserCodeError
from harness.models.small_cnn import SmallCNN
from harness.models.timm_models import as_timm_reads, build_timm, is_timm, published_by_timm
from harness.models.torchvision_models import (
    COLOURS,
    Published,
    Shape,
    as_torchvision_reads,
    build_torchvision,
    published_by_torchvision,
    torchvision_names,
)
from harness.models.user_model import calling_forward, initialise_lazy, require_logits
from harness.util.text import size_text
from harness.util.user_code import calling, returned

USUAL_SIZES = (16, 28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 299, 384)  # pixels
Architecture = str | Callable[[int], Any]


def architectures() -> list[str]:
    """Returns all names that `build` knows, except timm's."""
    return sorted(["small_cnn", *torchvision_names()])


def build(architecture: Architecture, classes: int, shape: Shape, check: bool = True) -> nn.Module:
    """Returns a model with random weights and a head of `classes` logits.

    A function is called with `classes`. If `check` is true, two blank images test that the model accepts images of
    `shape`, (C, H, W), and returns (2, classes). Raises ModelError or UserCodeError if it does not.
    """
    if callable(architecture):
        with calling("model", architecture):
            model: nn.Module = architecture(classes)
        if not isinstance(model, nn.Module):
            raise returned("model", architecture, model, "a torch.nn.Module")
        model = copied(model)  # a function may return the same object again, but each fold must start untrained
        initialise_lazy(model, shape)
    elif architecture == "small_cnn":
        model = SmallCNN(classes, shape[0])
    else:
        try:
            model = (build_timm if is_timm(architecture) else build_torchvision)(architecture, classes, shape)
        except (ValueError, RuntimeError, TypeError, AssertionError) as error:
            raise _unfit(architecture, shape, error) from error
    if check:
        _try(model, architecture, classes, shape)
    return model


def published_weights(architecture: str, classes: int, shape: Shape) -> Published:
    """Returns a library's pretrained weights. Raises ModelError if it has none, RemoteError without a network."""
    if is_timm(architecture):
        return published_by_timm(architecture, classes, shape)
    return published_by_torchvision(architecture)


def as_library_reads(
    architecture: str, state: Mapping[str, Tensor], outputs: int, shape: Shape
) -> Mapping[str, Tensor] | None:
    """Returns a state dict, translated as a library does for its published ones; None for a model of no library.

    Raises any exception of the library if the state dict is not for that model.
    """
    if is_timm(architecture):
        return as_timm_reads(architecture, state, outputs, shape)
    return as_torchvision_reads(architecture, state, outputs) if architecture in torchvision_names() else None


def copied(model: nn.Module) -> nn.Module:
    """Returns a copy of a model with separate weights, or the model itself if it cannot be copied."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy_of_model = copy.deepcopy(model)
    except Exception:  # copying runs the user's code
        return model
    # the weights of a copied TorchScript module cannot be trained
    return copy_of_model if all(parameter.is_leaf for parameter in copy_of_model.parameters()) else model


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Returns the names of the layers that compute the logits.

    They are the classifier in the model's `pretrained_cfg`, or else its last linear or convolutional layer. Raises
    ModelError if there is none.
    """
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    named = config.get("classifier") if isinstance(config, Mapping) else getattr(config, "classifier", None)
    layers = {name for name, module in model.named_modules() if name}
    names = tuple(name for name in ((named,) if isinstance(named, str) else named or ()) if name in layers)
    if names:
        return names
    last = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not last:
        raise ModelError("the model has no head", "it has no linear or convolutional layer", "name another model")
    return (last[-1],)


def is_head(name: str, heads: Sequence[str]) -> bool:
    """Returns whether a layer or a weight belongs to one of these heads."""
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def supports_channels_last(model: nn.Module, shape: Shape, device: torch.device) -> bool:
    """Returns whether images can be channels-last on `device`. A user's model that calls `view` may fail with it."""
    if device.type == "mps" or not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return False
    try:
        pass_blank(model, shape, torch.channels_last)
    except RuntimeError:
        return False
    return True


def _try(model: nn.Module, architecture: Architecture, classes: int, shape: Shape) -> None:
    if callable(architecture):
        try:
            with calling_forward(model, architecture):
                pass_blank(model, shape, torch.contiguous_format, classes)
        except UserCodeError as error:
            other = _shape_that_fits(model, classes, shape)
            if other is not None:
                error.fix = f"{_settings(other, shape)}, which works; {error.fix}"
            raise
        return
    try:
        pass_blank(model, shape, torch.contiguous_format)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _unfit(architecture, shape, error) from error


def _shape_that_fits(model: nn.Module, classes: int, shape: Shape) -> Shape | None:
    """Returns the shape nearest to `shape` for which the model returns logits; None if no usual shape works."""
    channels = [shape[0], 4 - shape[0]]  # 3 and 1
    sizes = sorted(USUAL_SIZES, key=lambda size: abs(math.log(size / shape[1])))
    likely = [(channels[1], *shape[1:]), *((count, size, size) for count in channels for size in sizes)]
    for other in likely:
        with contextlib.suppress(Exception, SystemExit):  # a user's model may raise anything
            pass_blank(model, other, torch.contiguous_format, classes)
            return other
    return None


def _settings(wanted: Shape, shape: Shape) -> str:
    """Returns the options to type for images of the shape `wanted` instead of `shape`."""
    parts = [f"-s channels={wanted[0]}"] if wanted[0] != shape[0] else []
    if wanted[1:] != shape[1:]:
        parts.append(f"-s image_size={wanted[1]}")
    return " ".join(parts)


def pass_blank(model: nn.Module, shape: Shape, order: torch.memory_format, classes: int | None = None) -> None:
    """Passes two blank images through the model in eval mode, and restores its mode.

    Raises UserCodeError if `classes` is given and the output is not logits of these classes.
    """
    was_training = model.training
    images = torch.zeros(2, *shape).to(memory_format=order)
    try:
        with torch.inference_mode():
            model.eval()
            output = model(images)
            if classes is not None:
                require_logits(output, model, images, classes)
    finally:
        model.train(was_training)


def _unfit(name: str, shape: Shape, error: Exception) -> ModelError:
    grey = "" if shape[0] == COLOURS else "grey "
    fix = "-s image_size=224" if shape[1:] != (224, 224) else "-s channels=3" if grey else "-s model=resnet18"
    return ModelError(
        f"{name} cannot take {grey}images of {size_text(shape[1:])}", str(error) or type(error).__name__, fix
    )
