"""Any classifier of torchvision by its name, or `small_cnn`, or what a user's function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.errors import ModelError, nearest
from harness.models.small_cnn import SmallCNN
from harness.models.user_model import calling_forward, initialise_lazy, require_logits
from harness.util.text import size_text
from harness.util.user_code import calling, returned

Architecture = str | Callable[[int], Any]
Shape = tuple[int, int, int]  # (C, H, W) of an image
COLOURS = 3


def architectures() -> list[str]:
    """Every name that `build` knows."""
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return sorted(["small_cnn", *names])


def build(architecture: Architecture, classes: int, shape: Shape, check: bool = True) -> nn.Module:
    """A model with random weights and a head of `classes` logits. Raises ModelError where that cannot be.

    A function is called with `classes`. One forward pass of two blank images shows that the model takes images of
    `shape`, (C, H, W), and gives (2, classes); without `check` that is taken to be known.
    """
    if callable(architecture):
        with calling("model", architecture):
            model: nn.Module = architecture(classes)
        if not isinstance(model, nn.Module):
            raise returned("model", architecture, model, "a torch.nn.Module")
        initialise_lazy(model, shape)
    elif architecture == "small_cnn":
        model = SmallCNN(classes, shape[0])
    else:
        model = _torchvision(architecture, classes, shape)
    if check:
        _try(model, architecture, classes, shape)
    return model


def head_name(model: nn.Module) -> str:
    """The name of the layer that gives the logits: the last linear or convolutional one. Raises ModelError for none."""
    layers: list[str] = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not layers:
        raise ModelError("the model has no head", "it has no linear or convolutional layer", "name another model")
    return layers[-1]


def supports_channels_last(model: nn.Module, shape: Shape, device: torch.device) -> bool:
    """Whether images can be in channels-last order on `device`: a user's model that calls `view` may fail."""
    if device.type == "mps" or not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return False
    try:
        _pass_blank(model, shape, torch.channels_last)
    except RuntimeError:
        return False
    return True


def _torchvision(name: str, classes: int, shape: Shape) -> nn.Module:
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
        if shape[1] != shape[2]:
            raise _unfit(name, shape, ValueError("it takes squares alone"))
        options["image_size"] = shape[1]
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _unfit(name, shape, error) from error
    if shape[0] != COLOURS:
        if getattr(model, "transform_input", False):
            raise _unfit(name, shape, ValueError("it scales the three colours before its first layer"))
        _take_grey(model)
    return model


def _try(model: nn.Module, architecture: Architecture, classes: int, shape: Shape) -> None:
    if callable(architecture):
        with calling_forward(model, architecture):
            _pass_blank(model, shape, torch.contiguous_format, classes)
        return
    try:
        _pass_blank(model, shape, torch.contiguous_format)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _unfit(architecture, shape, error) from error


def _pass_blank(model: nn.Module, shape: Shape, order: torch.memory_format, classes: int | None = None) -> None:
    """Passes two blank images through the model in eval mode; it is left in the mode that it was in.

    Raises UserCodeError unless the output is logits of `classes`, where these are given.
    """
    was_training = model.training
    images = torch.zeros(2, *shape).to(memory_format=order)
    try:
        with torch.inference_mode():
            output = model.eval()(images)
            if classes is not None:
                require_logits(output, model, images, classes)
    finally:
        model.train(was_training)


def _unfit(name: str, shape: Shape, error: Exception) -> ModelError:
    grey = "" if shape[0] == COLOURS else "grey "
    size = shape[1] if shape[1] == shape[2] else shape[1:]
    fix = "-s image_size=224" if size != 224 else "-s channels=3" if grey else "-s model=resnet18"
    return ModelError(f"{name} cannot take {grey}images of {size_text(size)}", str(error) or type(error).__name__, fix)


def _take_grey(model: nn.Module) -> None:
    """Gives the model's first convolution one channel in place of three."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == COLOURS:
            grey = nn.Conv2d(
                1,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            model.set_submodule(name, grey)
            return
