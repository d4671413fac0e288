"""Checkpoints: one dictionary of tensors and plain values in a file that is whole or not there, and runs no code.

A checkpoint of a run holds all that its model needs to be built again: `model` (the state dict), `architecture`,
`classes` (names, in the order of the logits), `transform`, `experiment`, `fold`, `epoch` and that epoch's `metrics`.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.util.files import write_whole

FORMAT = "harness-checkpoint-1"


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes beside `path`, syncs, and renames over it: a crash leaves the old file or the new one, never half of one.

    Raises StorageError where the disk refuses.
    """
    buffer = io.BytesIO()
    torch.save(_exact({"format": FORMAT, **content}), buffer)
    write_whole(path, buffer.getvalue())


def _exact(value: Any) -> Any:
    """The same in types that a safe load takes: of subclasses of str or float, and numpy's numbers, the value."""
    if isinstance(value, dict):
        return {_exact(key): _exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (torch.Tensor, bool)):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def load(path: Path) -> dict[str, Any]:
    """The dictionary in `path`, on the CPU. A pickle with code in it is refused, not run.

    Raises ModelError where the file is missing, damaged, or holds anything else.
    """
    _require_torch_file(path)
    _require_intact(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's guesses about a foreign file; what matters is raised below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is not loaded",
            "it holds Python objects, whose loading can run code; only tensors and plain values are read",
            "save its state dict alone: torch.save(model.state_dict(), file)",
        ) from error
    except Exception as error:  # what torch raises of a damaged file is of any kind
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{path} cannot be read", f"damaged, or no torch file: {first}", "name a file that torch.save wrote"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} is no checkpoint", f"it holds a {type(content).__name__}, not a dictionary", "save a state dict"
        )
    return content


def _require_intact(path: Path) -> None:
    """Raises ModelError where a part of a zip archive is not what was written, which torch does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception:  # no archive, or one of a kind that torch does not write: torch says what it makes of it
        return
    if part is not None:
        raise ModelError(f"{path} cannot be read", f"damaged: the checksum of {part} is wrong", "name another file")


def _require_torch_file(path: Path) -> None:
    """Raises ModelError unless `path` begins as what torch.save writes: a zip archive, or, long ago, a pickle."""
    if path.exists() and not path.is_file():
        raise ModelError(
            f"{path} cannot be read", "it is a folder, a pipe or a device", "name a file that torch.save wrote"
        )
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} is not there", f"looked in {path.parent.absolute()}", "name a file that exists, or imagenet"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read", str(error.strerror), "name a file that torch.save wrote") from error
    if not start.startswith((b"PK\x03\x04", b"\x80")):
        why = f"it begins with {start!r}" if start else "it is empty"
        raise ModelError(f"{path} is no torch file", why, "name a file that torch.save wrote")
