"""Pretrained weights: from torchvision, or from a file; what does not fit is dropped only where that is harmless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from harness.engine import checkpoint
from harness.errors import ModelError, RemoteError
from harness.models.build import head_name

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """A state dict, and what there is to know of it."""

    source: str  # "imagenet", or the file
    state: StateDict
    classes: list[str] | None  # that its head was trained for, where it says; None: unknown
    keep_head: bool = True  # where it fits
    mean: tuple[float, ...] = IMAGENET_MEAN  # per channel, that the inputs were normalised by
    std: tuple[float, ...] = IMAGENET_STD
    data_digest: str | None = None  # of the images that it was trained on, where it says

    def load_into(self, model: nn.Module, architecture: str, classes: Sequence[str]) -> str:
        """Loads into `model`, whose head is for `classes`, and says in one sentence what was done.

        A head that does not fit is dropped: the model keeps its own, random one. Everything else must fit exactly, else
        ModelError is raised.
        """
        head = head_name(model)
        own = model.state_dict()
        state = {
            name: value for name, value in _strip(self.state, own).items() if name in own or not name.startswith("aux")
        }
        _resize_positions(state, own, model)
        _sum_colours(state, own)
        (body, theirs), (own_body, ours) = (_part(part, head) for part in (state, own))
        _require_fit(body, own_body, self.source, architecture)
        shapes = [{name: value.shape for name, value in part.items()} for part in (theirs, ours)]
        fits = self.keep_head and self.classes in (None, list(classes)) and shapes[0] == shapes[1]
        try:
            model.load_state_dict(state if fits else body, strict=False)
        except (RuntimeError, NotImplementedError) as error:  # sparse or quantised tensors
            raise ModelError(
                f"the weights in {self.source} do not fit {architecture}", str(error), "save them as plain tensors"
            ) from error
        if fits:
            return f"from {self.source}, head included"
        return f"from {self.source}; {_head_misfit(theirs, len(classes))}, so {head} starts from random weights"


def imagenet_weights(architecture: str) -> Weights:
    """torchvision's default weights, downloaded once. Raises ModelError for none, RemoteError for no network."""
    entry = _entry(architecture)
    preset = entry.transforms()
    try:
        state: StateDict = entry.get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # urllib's URLError is one
        raise RemoteError(
            f"the ImageNet weights of {architecture} cannot be downloaded",
            f"{getattr(error, 'reason', error)}; looked in {torch.hub.get_dir()}/checkpoints first",
            "-s weights=FILE for a file that you have, or -s weights=none to train from scratch",
        ) from error
    return Weights("imagenet", state, None, keep_head=False, mean=_channels(preset.mean), std=_channels(preset.std))


def weights_from_file(path: Path, content: dict[str, Any] | None = None) -> Weights:
    """A state dict, bare or in a dictionary of more, or a checkpoint of ours. Raises ModelError where it is none.

    `content` is what `checkpoint.load` has found in it, where that was called before.
    """
    content = checkpoint.load(path) if content is None else content
    known: dict[str, Any] = {}
    if content.get("format") == checkpoint.FORMAT:
        known = _normalisation(path, content) | {"data_digest": content.get("data_digest")}
    classes = content.get("classes") if known else None
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise ModelError(
            f"{path} holds no weights",
            f"it has {', '.join(map(str, list(content)[:5])) or 'nothing'}, and no tensor among them",
            "save a state dict: torch.save(model.state_dict(), file)",
        )
    _require_sound(path, state)
    return Weights(str(path), state, classes, **known)


def _entry(architecture: str) -> Any:
    """torchvision's own record of the default weights of a model."""
    import torchvision

    try:
        return torchvision.models.get_model_weights(architecture).DEFAULT
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{architecture} has no ImageNet weights",
            "torchvision offers none for it",
            "-s weights=none, or -s weights=FILE",
        ) from error


def _normalisation(path: Path, content: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The mean and deviation in a checkpoint of ours. Raises ModelError where they are not there."""
    try:
        mean, std = (_channels(content["transform"][name]) for name in ("mean", "std"))
        if len(mean) not in (1, 3) or len(std) != len(mean) or not all(map(math.isfinite, mean)) or min(std) <= 0:
            raise ValueError("an image has one or three channels, each with a mean and a deviation above 0")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{path} is no whole checkpoint", "it does not say how its images were normalised", "name another file"
        ) from error
    return {"mean": mean, "std": std}


def _require_sound(path: Path, state: StateDict) -> None:
    """Raises ModelError where a weight is not a finite number: what starts from it can learn nothing."""
    for name, value in state.items():
        if value.layout != torch.strided:
            continue
        try:
            stored = value.untyped_storage().nbytes()
            if value.is_meta or value.numel() * value.element_size() > stored:
                raise RuntimeError("it has more numbers than the file")
            finite = not value.is_floating_point() or bool(torch.isfinite(value).all())
        except (RuntimeError, NotImplementedError) as error:  # a dtype that this torch cannot calculate with, say
            why = f"{name} is no plain tensor: {str(error).splitlines()[0]}"
            raise ModelError(f"the weights in {path} cannot be used", why, "save them as plain tensors") from error
        if not finite:
            raise ModelError(
                f"the weights in {path} are not all finite", f"{name} holds nan or inf", "name a file of sound weights"
            )


def _channels(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _part(state: StateDict, head: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(body, head) of a state dict."""
    in_head = {name: value for name, value in state.items() if name.startswith(f"{head}.")}
    return {name: value for name, value in state.items() if name not in in_head}, in_head


def _head_misfit(theirs: StateDict, classes: int) -> str:
    outputs = {len(value) for name, value in theirs.items() if name.endswith(("weight", "bias")) and value.ndim}
    if not theirs:
        return "it has no head"
    if len(outputs) == 1 and outputs != {classes}:
        return f"its head has {outputs.pop()} outputs"
    return "its head is for other classes" if outputs == {classes} else "its head is of another form"


def _strip(state: StateDict, own: StateDict) -> dict[str, Tensor]:
    """Without a first part that all names share and the model does not know, as DataParallel's `module.`."""
    stripped = dict(state)
    while True:
        first = {name.split(".", 1)[0] for name in stripped}
        if len(first) != 1 or any(name.startswith(f"{next(iter(first))}.") for name in own):
            return stripped
        if not all("." in name for name in stripped):
            return stripped
        stripped = {name.split(".", 1)[1]: value for name, value in stripped.items()}


def _resize_positions(state: dict[str, Tensor], own: StateDict, model: nn.Module) -> None:
    """A vision transformer's position embedding, interpolated to this model's image size, as torchvision does."""
    name = "encoder.pos_embedding"
    if name not in state or name not in own or state[name].shape == own[name].shape:
        return
    from torchvision.models.vision_transformer import interpolate_embeddings

    try:
        resized = interpolate_embeddings(model.image_size, model.patch_size, dict(state))
    except ValueError:
        return  # of another architecture: the comparison that follows says so
    state.update(resized)


def _sum_colours(state: dict[str, Tensor], own: StateDict) -> None:
    """The first convolution of a model for colour, for grey images: the sum over the three channels gives the same."""
    for name, value in state.items():
        shape = own[name].shape if name in own else ()
        if value.ndim == 4 and len(shape) == 4 and shape[1] == 1 and value.shape == (shape[0], 3, *shape[2:]):
            state[name] = value.sum(1, keepdim=True)
            return


def _require_fit(body: StateDict, own: StateDict, source: str, architecture: str) -> None:
    wrong = [name for name in own if name not in body or body[name].shape != own[name].shape]
    # a counter that old files lack; it changes no output
    wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
    extra = [name for name in body if name not in own]
    if not wrong and not extra:
        return
    raise ModelError(
        f"the weights in {source} do not fit {architecture}",
        f"the model has {_first(own, wrong)}; the file has {_first(body, wrong, extra)}",
        "-s model=NAME of the model that they are for, or -s weights=imagenet",
    )


def _first(state: StateDict, wrong: Sequence[str], extra: Sequence[str] = ()) -> str:
    """The first names on one side of a misfit, with shapes."""
    names = [name for name in (*wrong, *extra) if name in state][:3]
    return ", ".join(f"{name} {tuple(state[name].shape)}" for name in names) or "nothing of that kind"
