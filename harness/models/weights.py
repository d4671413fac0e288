"""The initial weights of a model: of a library or a file, adapted to the model before its first fold."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine import checkpoint
from harness.errors import ModelError
from harness.models.build import is_head
from harness.models.fitting import Fit, Fitting
from harness.models.readings import Contents, Reading, contents_of
from harness.models.torchvision_models import Shape
from harness.util.text import few

StateDict = Mapping[str, Tensor]
AVERAGED = ("ema", "averag", "swa", "shadow", "teacher", "momentum", "target", "encoder_k")  # parts of a key


@dataclass(frozen=True)
class Weights:
    """Weights with the names of the model that they were adapted to.

    Attributes:
        state: All weights to load; without the head if the model keeps its own.
        note: What was done, in one sentence.
        head: Whether the head is in `state`.
        mean: Per channel, of the normalisation in their training; None if unknown.
        std: Per channel.
        data_digest: Of their training images; None if unknown.
    """

    state: OrderedDict[str, Tensor]
    note: str
    head: bool
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    data_digest: str | None = None

    def load_into(self, model: nn.Module, architecture: str) -> None:
        """Loads them into a model like the one that they were adapted to. Raises ModelError for another model."""
        try:
            model.load_state_dict(self.state, strict=False)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            first = (str(error).splitlines() or [""])[-1].strip()
            raise ModelError(
                f"the weights do not fit {architecture}", first, "return the same layers each time in the function"
            ) from error


@dataclass(frozen=True)
class WeightsFile:
    """The weights in a file.

    Attributes:
        path: The file.
        contents: Its tensors and objects.
        classes: The classes of its head, in order; None if unknown.
        mean: Per channel; None if unknown.
        std: Per channel.
        data_digest: Of its training images; None if unknown.
    """

    path: Path
    contents: Contents
    classes: list[str] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    data_digest: str | None = None

    def fit(
        self, model: nn.Module, architecture: str, classes: Sequence[str], shape: Shape, key: str | None = None
    ) -> Weights:
        """Finds the part of the file that has all weights of the model, possibly without its head.

        Each part is loaded into a copy of the model, with the model's own hooks. If none fits, each is loaded into one
        part of the model, and then by the library of the model. A head for other classes is left out.

        Args:
            model: Is not changed.
            architecture: Its name.
            classes: Names of the classes, one logit each.
            shape: (C, H, W) of the model's images.
            key: Which part of the file to use, if several fit; None for the first one that is not an average.

        Raises:
            ModelError: No part fits, or the weights are not finite.
        """
        fitting = Fitting(model, architecture, shape)
        readings = [*self.contents.readings(fitting.least)]
        fits = [fit for fit in map(fitting.direct, readings) if fit is not None]
        for alternative in (fitting.with_a_wider_head, fitting.for_a_part, fitting.by_library):
            fits = fits or [fit for fit in map(alternative, readings) if fit is not None]
        fits = [*{fit.tensors: fit for fit in reversed(fits)}.values()][::-1]  # the first of each set of tensors
        fits = sorted(fits, key=lambda fit: (not fit.head, _is_averaged(fit.reading.key)))
        chosen = [fit for fit in fits if key is None or fit.reading.key == key or fit.reading.key.startswith(f"{key}.")]
        if not chosen:
            raise self._misfit(fitting, readings, [fit.reading.key for fit in fits], key)
        fit = chosen[0]
        _require_finite(self.path, fit.state)
        keeps_head = fit.head and self.classes in (None, list(classes))
        state = fit.state if keeps_head else fit.without_head()
        note = self._note(fit, len(classes), keeps_head, [other.reading.key for other in fits])
        return Weights(state, note, keeps_head, self.mean, self.std, self.data_digest)

    def _note(self, fit: Fit, classes: int, keeps_head: bool, keys: Sequence[str]) -> str:
        """Returns what was used, what was not, and how to choose another part."""
        heads = fit.heads
        part = f" ({fit.reading.key})" if fit.reading.key else ""
        part += f" for {fit.reading.within}" if fit.reading.within else ""
        parts = [f"from {self.path}{part}" + (", head included" if keeps_head else "")]
        if not keeps_head:
            theirs = {name: value for name, value in fit.reading.state.items() if is_head(name, heads)}
            parts.append(
                f"{_head_misfit(theirs, classes, fit.head)}, so {' and '.join(heads)} starts from random weights"
            )
        aside = self.contents.left_aside(fit.tensors)
        if aside:
            parts.append(f"not used: {few(aside)}")
        others = [key for key in dict.fromkeys(keys) if key and key != fit.reading.key]
        if others:
            parts.append(f"also fits: {', '.join(others)} (-s weights_key={others[0]})")
        return "; ".join(parts)

    def _misfit(
        self, fitting: Fitting, readings: Sequence[Reading], fits: Sequence[str], key: str | None
    ) -> ModelError:
        if key is not None and fits:
            return ModelError(
                f"{self.path} has no weights for {fitting.architecture} under {key!r}",
                f"these parts fit: {', '.join(fit or 'the whole file' for fit in fits)}",
                f"-s weights_key={fits[0] or 'none'}",
            )
        objects = self.contents.objects
        if objects and not readings:
            place, kind = next(iter(objects.items()))
            return ModelError(
                f"{self.path} holds no weights for {fitting.architecture}",
                f"its {place!r} is a {kind}, a Python object: loading it would run code",
                checkpoint.converting(self.path, place),
            )
        return ModelError(
            f"the weights in {self.path} do not fit {fitting.architecture}",
            fitting.difference(readings or [*self.contents.readings(1)][:1]),
            "-s model=NAME, for the model of these weights, or -s weights=imagenet",
        )


def library_weights(published: Any, model: nn.Module, architecture: str, shape: Shape) -> Weights:
    """Returns a library's weights, a `Published`, adapted to a model, without its head, which is for other classes.

    Raises ModelError if they do not fit.
    """
    fitting = Fitting(model, architecture, shape)
    names = {name: name for name in published.state}
    reading = Reading("", dict(published.state), getattr(published.state, "_metadata", {}), names)
    fit = fitting.direct(reading) or fitting.by_library(reading)
    if fit is None:
        raise ModelError(
            f"the weights in {published.source} do not fit {architecture}",
            fitting.difference([reading]),
            "-s weights=FILE, or -s weights=none to train from scratch",
        )
    note = f"from {published.source}"
    if published.source == "imagenet":
        theirs = (value for name, value in published.state.items() if is_head(name, fitting.heads))
        note += f"; its head has {len(next(theirs, ()))} outputs"
    note += f", so {' and '.join(fitting.heads)} starts from random weights"
    return Weights(fit.without_head(), note, False, published.mean, published.std)


def read_weights(path: Path, content: dict[str, Any] | None = None) -> WeightsFile:
    """Reads the weights in a file: a state dict, also inside a larger dictionary, or a checkpoint of this package.

    Args:
        path: The file.
        content: What `checkpoint.load` returned for it, if that was called before.

    Raises:
        ModelError: The file has no weights.
    """
    content = checkpoint.load(path) if content is None else content
    known: dict[str, Any] = {}
    if content.get("format") == checkpoint.FORMAT:
        known = _normalisation(path, content)
        known |= {"classes": content.get("classes"), "data_digest": content.get("data_digest")}
        content = content["model"] if isinstance(content.get("model"), dict) else {}
    contents = contents_of(content)
    if not contents.tensors:
        place, kind = next(iter(contents.objects.items()), ("", ""))
        has = f"{place!r} is a {kind}, a Python object: loading it would run code" if place else _keys(content)
        raise ModelError(
            f"{path} holds no weights",
            f"{has}, and there is no tensor" if place else has,
            checkpoint.converting(path, place) if place else "save a state dict: torch.save(model.state_dict(), file)",
        )
    return WeightsFile(path, contents, **known)


def _is_averaged(key: str) -> bool:
    return any(word in key.lower() for word in AVERAGED)


def _keys(content: Mapping[str, Any]) -> str:
    return f"it has {', '.join(map(str, list(content)[:5])) or 'nothing'}, and none of these is a tensor"


def _normalisation(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the mean and deviation in a checkpoint of this package. Raises ModelError if it has none."""
    try:
        mean, std = (tuple(map(float, content["transform"][name])) for name in ("mean", "std"))
        if len(mean) not in (1, 3) or len(std) != len(mean) or not all(map(math.isfinite, mean)) or min(std) <= 0:
            raise ValueError("an image has one or three channels, each with a mean and a deviation above 0")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{path} is not a complete checkpoint",
            "it does not say how its images were normalised",
            "name another file",
        ) from error
    return {"mean": mean, "std": std}


def _require_finite(path: Path, state: StateDict) -> None:
    """Raises ModelError if a weight is NaN or infinite: a model that starts from it cannot learn."""
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            continue
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"the weights in {path} are not all finite",
                f"{name} contains nan or inf",
                "name a file with finite weights",
            )


def _head_misfit(theirs: StateDict, classes: int, same_shapes: bool) -> str:
    outputs = {len(value) for name, value in theirs.items() if name.endswith(("weight", "bias")) and value.ndim}
    if not theirs:
        return "it has no head"
    if len(outputs) == 1 and outputs != {classes}:
        return f"its head has {outputs.pop()} outputs"
    return "its head is for other classes" if same_shapes else "its head has another structure"
