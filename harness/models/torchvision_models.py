"""torchvision's classifiers: how to build them, load torchvision's weights, and read published files."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.transforms import seeded
from harness.errors import ModelError, RemoteError, nearest

COLOURS = 3
Shape = tuple[int, int, int]  # (C, H, W) of an image


@dataclass(frozen=True)
class Published:
    """Weights that a library publishes for a model.

    Attributes:
        state: A state dict; its names may be those of an older version of the model.
        source: Where they come from, for display.
        mean: Per channel, for the normalisation of inputs.
        std: Per channel.
    """

    state: Mapping[str, Tensor]
    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """Returns the names of all classifiers."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def build_torchvision(name: str, classes: int, shape: Shape) -> nn.Module:
    """Returns the classifier `name` with random weights.

    Raises ModelError for an unknown name. Raises ValueError, RuntimeError or AssertionError if the model does not
    accept images of that shape.
    """
    import torchvision

    known = ["small_cnn", *torchvision_names()]
    if name not in known:
        raise ModelError(
            f"there is no model {name!r}{nearest(name, known)}",
            f"torchvision {torchvision.__version__} has {len(known) - 1} classifiers; small_cnn is in this package; "
            "timm/NAME is a model of timm",
            "-s model=resnet18",
        )
    options: dict[str, Any] = {"num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        # no auxiliary heads, which return several tensors; inputs as torchvision's weights for these two expect them
        options |= {"aux_logits": False, "init_weights": False, "transform_input": True}
    if name.startswith("vit_"):
        if shape[1] != shape[2]:
            raise ValueError("it accepts only square images")
        options["image_size"] = shape[1]
    model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    if shape[0] != COLOURS:
        if getattr(model, "transform_input", False):
            raise ValueError("it scales the three colour channels before its first layer")
        _take_grey(model)
    return model


def published_by_torchvision(name: str) -> Published:
    """Returns torchvision's default weights. Downloads them once.

    Raises ModelError if there are none, RemoteError without a network.
    """
    entry = _default_weights(name)
    preset = entry.transforms()
    try:
        state: Mapping[str, Tensor] = entry.get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # includes urllib's URLError
        raise RemoteError(
            f"the ImageNet weights of {name} cannot be downloaded",
            f"{getattr(error, 'reason', error)}; looked in {torch.hub.get_dir()}/checkpoints first",
            "-s weights=FILE for a file on this machine, or -s weights=none to train from scratch",
        ) from error
    mean, std = (tuple(float(value) for value in values) for values in (preset.mean, preset.std))
    return Published(state, "imagenet", mean, std)


def evaluated_at(name: str) -> int | None:
    """Returns the image side in pixels at which torchvision evaluated a model's default weights; None without any."""
    if name not in torchvision_names():
        return None
    try:
        crop = _default_weights(name).transforms().crop_size
    except ModelError:
        return None
    side = crop if isinstance(crop, int) else next(iter(crop))
    return int(side)


def default_weights_address(name: str) -> str:
    """Returns the download address of a model's default weights. Raises ModelError if it has none."""
    return str(_default_weights(name).url)


def as_torchvision_reads(name: str, state: Mapping[str, Tensor], outputs: int) -> Mapping[str, Tensor]:
    """Returns a state dict with the current module's names: torchvision's builders translate some old names.

    Args:
        name: The classifier.
        state: From the file.
        outputs: The number of outputs of the file's head.

    Raises any exception of the builder if the file is not for that classifier.
    """
    import torchvision

    entry = _default_weights(name)
    # a member of the same enumeration, which returns this state dict instead of downloading one
    member = object.__new__(type(entry))
    member._name_ = "FILE"
    member._value_ = replace(entry.value, meta=entry.meta | {"categories": ["?"] * outputs})
    member.get_state_dict = lambda *_, **__: state
    with seeded(0):
        model: nn.Module = torchvision.models.get_model(name, weights=member)
    return model.state_dict()


def _default_weights(name: str) -> Any:
    """Returns torchvision's record of a model's default weights."""
    import torchvision

    try:
        return torchvision.models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{name} has no ImageNet weights", "torchvision has none for it", "-s weights=none, or -s weights=FILE"
        ) from error


def _take_grey(model: nn.Module) -> None:
    """Gives the model's first convolution one input channel instead of three."""
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
