"""Any classifier of torchvision by its name, or `small_cnn`, or what a user's function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.errors import ModelError, nearest
from harness.models.small_cnn import SmallCNN

Architecture = str | Callable[[int], Any]


def architectures() -> list[str]:
    """Every name that `build` knows."""
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return sorted(["small_cnn", *names])


def build(architecture: Architecture, classes: int, image_size: int, check: bool = True) -> nn.Module:
    """A model with random weights and a head of `classes` logits. Raises ModelError where that cannot be.

    A function is called with `classes`. One forward pass of two blank images shows that the model takes `image_size`
    and gives (2, classes); without `check` that is taken to be known.
    """
    if callable(architecture):
        model: nn.Module = architecture(classes)
        if not isinstance(model, nn.Module):
            raise ModelError(
                f"model({classes}) returned a {type(model).__name__}",
                "it must return an nn.Module",
                "mend that function",
            )
    elif architecture == "small_cnn":
        model = SmallCNN(classes)
    else:
        model = _torchvision(architecture, classes, image_size)
    if check:
        _try(model, architecture, classes, image_size)
    return model


def head_name(model: nn.Module) -> str:
    """The name of the layer that gives the logits: the last linear or convolutional one. Raises ModelError for none."""
    layers: list[str] = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not layers:
        raise ModelError("the model has no head", "it has no linear or convolutional layer", "name another model")
    return layers[-1]


def supports_channels_last(model: nn.Module, image_size: int) -> bool:
    """Whether a forward pass works on images in channels-last order: a user's model that calls `view` may fail."""
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return False
    try:
        _pass_blank(model, image_size, torch.channels_last)
    except RuntimeError:
        return False
    return True


def _torchvision(name: str, classes: int, image_size: int) -> nn.Module:
    import torchvision

    known = architectures()
    if name not in known:
        raise ModelError(
            f"there is no model {name!r}{nearest(name, known)}",
            f"torchvision {torchvision.__version__} has {len(known) - 1} classifiers, and small_cnn is ours",
            "-s model=resnet18",
        )
    options: dict[str, Any] = {"num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        # no second heads, which return no single tensor; inputs as torchvision's weights for these two expect them
        options |= {"aux_logits": False, "init_weights": False, "transform_input": True}
    if name.startswith("vit_"):
        options["image_size"] = image_size
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _unfit(name, image_size, error) from error
    return model


def _try(model: nn.Module, architecture: Architecture, classes: int, image_size: int) -> None:
    name = architecture if isinstance(architecture, str) else getattr(architecture, "__name__", "model")
    try:
        logits = _pass_blank(model, image_size, torch.contiguous_format)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _unfit(name, image_size, error) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"{name} gives {shape} for two images",
            f"for {classes} classes it must give a tensor (2, {classes})",
            "let the function use its argument, the number of classes",
        )


def _pass_blank(model: nn.Module, image_size: int, order: torch.memory_format) -> Any:
    """What the model gives for two blank images in eval mode; it is left in the mode that it was in."""
    was_training = model.training
    images = torch.zeros(2, 3, image_size, image_size).to(memory_format=order)
    try:
        with torch.inference_mode():
            return model.eval()(images)
    finally:
        model.train(was_training)


def _unfit(name: str, image_size: int, error: Exception) -> ModelError:
    return ModelError(
        f"{name} cannot take images of {image_size} px", str(error) or type(error).__name__, "-s image_size=224"
    )
