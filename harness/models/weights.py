"""Pretrained weights: from torchvision, or from a file; what does not fit is dropped only where that is harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness import checkpoint
from harness.data.transforms import IMAGENET_MEAN, IMAGENET_STD, channels
from harness.errors import ModelError
from harness.models.build import head_name

StateDict = Mapping[str, Tensor]


def load_weights(model: nn.Module, architecture: str, source: str, classes: Sequence[str]) -> str:
    """Loads "imagenet" or the file `source` into `model`, and says in one sentence what was done.

    A head that does not fit is dropped: the model keeps its own, random one. Everything else must fit exactly. Raises
    ModelError otherwise, and where there are no such weights.
    """
    if source == "imagenet":
        state, kept_head = _imagenet(architecture), False
    else:
        state, kept_head = _from_file(Path(source), list(classes))
    head = head_name(model)
    own = model.state_dict()
    state = {name: value for name, value in _strip(state, own).items() if not name.lower().startswith("aux")}
    _resize_positions(state, own, model)
    in_head = {name for name in own if name.startswith(f"{head}.")}
    fits = kept_head and all(name in state and state[name].shape == own[name].shape for name in in_head)
    body = {name: value for name, value in state.items() if name not in in_head}
    _require_fit(body, {name: value for name, value in own.items() if name not in in_head}, source, architecture)
    model.load_state_dict(state if fits else body, strict=False)
    if fits:
        return f"weights from {source}, head included"
    found = next((len(state[name]) for name in sorted(in_head) if name in state), None)
    why = "has none" if found is None else f"has {found} outputs" if found != len(classes) else "is for other classes"
    return f"weights from {source}; its head {why}, so {head} starts anew with {len(classes)}"


def normalisation(architecture: Any, source: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) per channel that the weights were trained with; by default ImageNet's."""
    if source is None or callable(architecture):
        return IMAGENET_MEAN, IMAGENET_STD
    if source != "imagenet":
        recorded = checkpoint.load(Path(source)).get("transform")
        if isinstance(recorded, dict):
            return channels(recorded["mean"]), channels(recorded["std"])
        return IMAGENET_MEAN, IMAGENET_STD
    preset = _entry(architecture).transforms()
    return channels(preset.mean), channels(preset.std)


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


def _imagenet(architecture: str) -> StateDict:
    try:
        state: StateDict = _entry(architecture).get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # urllib's URLError is one
        raise ModelError(
            f"the ImageNet weights of {architecture} cannot be downloaded",
            f"{getattr(error, 'reason', error)}; looked in {torch.hub.get_dir()}/checkpoints first",
            "-s weights=FILE for a file that you have, or -s weights=none to train from scratch",
        ) from error
    return state


def _from_file(path: Path, classes: list[str]) -> tuple[StateDict, bool]:
    """(state dict, whether its head may be kept): the head of a checkpoint of ours counts for the same classes only."""
    content = checkpoint.load(path)
    keep = "classes" not in content or content["classes"] == classes
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise ModelError(
            f"{path} holds no weights",
            f"it has {', '.join(map(str, list(content)[:5])) or 'nothing'}, and no tensor among them",
            "save a state dict: torch.save(model.state_dict(), file)",
        )
    return state, keep


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
    names = [name for name in (*wrong, *extra) if name in state][:3] or list(state)[:3]
    return ", ".join(f"{name} {tuple(state[name].shape)}" for name in names) or "nothing"
