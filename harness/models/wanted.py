"""The inputs that a model expects: the preparation by timm's configuration, and the normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from harness.models.timm_models import RESIZE, is_timm, pretrained_config


def wishes(architecture: str) -> dict[str, Any]:
    """Returns timm's preparation of images for its models, as fields of `Preparation`; empty for other models.

    Raises ModelError for a name that timm does not know.
    """
    if not is_timm(architecture):
        return {}
    config = pretrained_config(architecture)
    height, width = config["input_size"][1:]
    interpolation = config.get("interpolation", "bicubic")
    return {
        "image_size": height if height == width else (height, width),
        "resize": RESIZE.get(config.get("crop_mode") or "center", "crop"),
        "center_crop": float(config.get("crop_pct") or 1.0),
        "interpolation": interpolation if interpolation in ("nearest", "bilinear", "bicubic", "lanczos") else "bicubic",
    }


def normalisation_of(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Returns the mean and the deviation that a model or a part of it defines; None without usable values."""
    names = ("pretrained_cfg", "default_cfg")
    for config in (getattr(part, name, None) for part in model.modules() for name in names):
        mean, std = (
            config.get(key) if isinstance(config, Mapping) else getattr(config, key, None) for key in ("mean", "std")
        )
        try:
            values = tuple(tuple(map(float, part)) for part in (mean, std))  # type: ignore[arg-type]
        except TypeError:
            continue
        if all(len(part) in (1, 3) for part in values) and min(values[1]) > 0:
            return for_channels(values[0]), for_channels(values[1])
    return None


def for_channels(values: Any) -> tuple[float, ...]:
    """Returns one value for each of three channels, from one or three values."""
    numbers = tuple(float(value) for value in values)
    return numbers * 3 if len(numbers) == 1 else numbers
