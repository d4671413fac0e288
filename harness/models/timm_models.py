"""timm's models (`model="timm/NAME"`): how to build them, load timm's weights, and prepare their inputs."""

from __future__ import annotations

import dataclasses
import functools
import logging
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from harness.data.transforms import seeded
from harness.errors import ModelError, RemoteError, nearest
from harness.models.torchvision_models import Published, Shape
from harness.util.packages import install_command
from harness.util.text import size_text

PREFIX = "timm/"
RESIZE = {"center": "crop", "squash": "squash", "border": "pad"}  # timm's crop_mode -> resize of this package


def is_timm(architecture: object) -> bool:
    """Returns whether a model's name is one of timm's."""
    return isinstance(architecture, str) and architecture.startswith(PREFIX)


def build_timm(architecture: str, classes: int, shape: Shape, **weights: Any) -> nn.Module:
    """Returns a model with random weights, or with the `weights` options of timm's `create_model`.

    A model with a fixed size is made for the size of `shape`.

    Raises ModelError for an unknown name or without timm. Raises ValueError, RuntimeError, TypeError or AssertionError
    if the model does not accept images of that shape.
    """
    name, config = architecture.removeprefix(PREFIX), pretrained_config(architecture)
    options: dict[str, Any] = {"num_classes": classes, "in_chans": shape[0], **weights}
    if config.get("fixed_input_size") and tuple(config["input_size"][1:]) != shape[1:]:
        options["img_size"] = shape[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that timm has changed
        model: nn.Module = _timm().create_model(name, **options)
    return model


def published_by_timm(architecture: str, classes: int, shape: Shape) -> Published:
    """Returns timm's default weights for a model, adapted by timm to images of `shape`. Downloads them once.

    Raises ModelError if there are none, RemoteError without a network.
    """
    config = pretrained_config(architecture)
    if not any(config.get(key) for key in ("hf_hub_id", "url", "file")):
        raise ModelError(
            f"{architecture} has no pretrained weights",
            "timm has no weights for it",
            "-s weights=none, or -s weights=FILE",
        )
    try:
        with seeded(0):
            model = build_timm(architecture, classes, shape, pretrained=True)
    except OSError as error:  # includes the errors of the hub and of urllib
        raise _no_download(architecture, error) from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise _no_download(architecture, error) from error
        side = config["input_size"][1]
        raise ModelError(
            f"the weights of {architecture} do not fit images of {size_text(shape[1:])}",
            str(error).splitlines()[-1].strip(),
            f"-s image_size={side}, which fits these weights; or -s weights=none",
        ) from error
    mean, std = config["mean"], config["std"]
    source = f"timm's {config.get('architecture', '')}.{config.get('tag', '')}".rstrip(".")
    return Published(model.state_dict(), source, tuple(mean), tuple(std))


def as_timm_reads(architecture: str, state: Mapping[str, Tensor], outputs: int, shape: Shape) -> Mapping[str, Tensor]:
    """Returns a state dict with the current module's names, translated as timm does for published files.

    With the file's number of `outputs`, timm replaces all weights of the model. Raises any exception of timm if the
    file is not for that model.
    """
    overlay = {"state_dict": dict(state), "num_classes": outputs, "label_offset": 0}
    with seeded(0):
        model = build_timm(architecture, outputs, shape, pretrained=True, pretrained_cfg_overlay=overlay)
    return model.state_dict()


@functools.cache
def pretrained_config(architecture: str) -> dict[str, Any]:
    """Returns timm's configuration of a model and its inputs. Raises ModelError for an unknown name."""
    timm = _timm()
    name = architecture.removeprefix(PREFIX)
    base, _, tag = name.partition(".")
    if not timm.is_model(base) or (tag and not timm.is_model_pretrained(name)):
        known = [PREFIX + known for known in timm.list_models(f"{base}.*" if tag else "", pretrained=bool(tag))]
        raise ModelError(
            f"there is no model {architecture!r}{nearest(architecture, known)}",
            f"timm {timm.__version__} has {len(timm.list_models())} models, some with several weights (NAME.WEIGHTS)",
            f"python -c \"import timm; print(timm.list_models('*{base[:6]}*', pretrained=True))\"",
        )
    config: dict[str, Any] = dataclasses.asdict(timm.get_pretrained_cfg(name))
    return config


def _no_download(architecture: str, error: Exception) -> RemoteError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return RemoteError(
        f"the weights of {architecture} cannot be downloaded",
        first,
        "-s weights=FILE for a file on this machine, or -s weights=none to train from scratch",
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            "models named timm/NAME need timm", "it is not installed in this environment", install_command("timm")
        ) from error
    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm
