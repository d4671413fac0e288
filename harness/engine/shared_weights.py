"""Frozen weights that all checkpoints of a run share. They are written once, to a file beside the checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine import checkpoint
from harness.engine.checkpoint import HOLDS, MODEL_FILE, SHARED, SHARED_FILE
from harness.engine.marks import Mark, mark_of, same_bits
from harness.errors import ModelError


class SharedWeights:
    """The frozen weights of a run, which no fit changes.

    The first fit writes the file. Each later fit uses it for the weights that are bit-identical.

    Args:
        folder: The folder of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SHARED_FILE
        self._digest = ""
        self._marks: dict[str, Mark] = {}

    def begin(self, model: nn.Module) -> None:
        """Must be called before the first step of a fit. Raises StorageError if the file cannot be written."""
        self._marks = {}
        frozen = frozen_weights(model)
        if not frozen:
            return
        known = _held_by(self._path)
        if known is None:
            on_cpu = {name: value.detach().cpu() for name, value in frozen.items()}
            known = digest_of(on_cpu), on_cpu
            checkpoint.save(self._path, {HOLDS: known[0], "model": on_cpu})
        self._digest, shared = known
        same = {name: value for name, value in frozen.items() if name in shared and same_bits(value, shared[name])}
        self._marks = {name: mark_of(value) for name, value in same.items()}

    def without(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a checkpoint's `model`, with None for each shared weight, and `shared`, the digest, if there is one.

        A weight that has changed since the fit began stays in `model`, for example after a callback unfroze it.
        """
        model = {name: None if self._is_shared(name, value) else value for name, value in weights.items()}
        return {"model": model} | ({SHARED: self._digest} if any(name in self._marks for name in _none(model)) else {})

    def _is_shared(self, name: str, value: Any) -> bool:
        return name in self._marks and isinstance(value, Tensor) and mark_of(value) == self._marks[name]


def frozen_weights(model: nn.Module) -> dict[str, Tensor]:
    """Returns the frozen parameters, and the buffers of layers whose parameters are all frozen.

    `SharedWeights` checks whether those buffers change.
    """
    frozen: set[str] = set()
    for prefix, layer in model.named_modules(remove_duplicate=False):
        parameters = dict(layer.named_parameters(prefix, recurse=False))
        frozen |= {name for name, value in parameters.items() if not value.requires_grad}
        if parameters and not any(value.requires_grad for value in parameters.values()):
            frozen |= dict(layer.named_buffers(prefix, recurse=False)).keys()
    state = model.state_dict()
    saved = {name: state[name] for name in frozen if isinstance(state.get(name), Tensor)}
    return {name: value for name, value in saved.items() if value.layout == torch.strided and not value.is_quantized}


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of dense tensors with their names, shapes and dtypes: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def give_back(folder: Path) -> None:
    """Writes the file of shared weights again if only `model.pt` holds them. Call it before replacing `model.pt`."""
    path, model = folder / SHARED_FILE, folder / MODEL_FILE
    held = None if path.is_file() else _held_by(model)
    if held is not None:
        needed = {name for other in folder.glob("*.pt") if other != model for name in _needed_by(other, held[0])}
        if needed:
            shared = {name: value for name, value in held[1].items() if name in needed}
            checkpoint.save(path, {HOLDS: held[0], "model": shared})


def take_over(folder: Path, **values: Any) -> None:
    """Makes `model.pt` replace the file of shared weights if it has the same ones. Also adds `values` to `model.pt`.

    Raises ModelError or StorageError.
    """
    path, model = folder / SHARED_FILE, folder / MODEL_FILE
    held = _held_by(path)
    if held is not None:
        own = checkpoint.read(model)["model"]
        if all(isinstance(own.get(name), Tensor) and same_bits(own[name], value) for name, value in held[1].items()):
            values[HOLDS] = held[0]
    if values:
        checkpoint.add(model, **values)
    if HOLDS in values:
        path.unlink(missing_ok=True)


def _held_by(path: Path) -> tuple[str, dict[str, Tensor]] | None:
    """Returns the digest of the weights that a file holds for others, and the weights; None for other files."""
    try:
        content = checkpoint.read(path)
    except ModelError:
        return None
    digest, model = content.get(HOLDS), content.get("model")
    if not isinstance(digest, str) or not isinstance(model, dict):
        return None
    return digest, {name: value for name, value in model.items() if isinstance(value, Tensor)}


def _needed_by(path: Path, digest: str) -> list[str]:
    """Returns the names of the weights that a checkpoint shares, if they have that digest."""
    try:
        content = checkpoint.read(path)
    except ModelError:
        return []
    return _none(content["model"]) if content.get(SHARED) == digest else []


def _none(model: Mapping[str, Any]) -> list[str]:
    return [name for name, value in model.items() if value is None]
