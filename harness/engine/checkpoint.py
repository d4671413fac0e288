"""Checkpoints: files with one dictionary of tensors and plain values. Loading one runs no code.

A checkpoint is written completely or not at all. A run's checkpoint holds what is needed to build its model again:
`model` (the state dict), `architecture`, `classes` (names, in the order of the logits), `transform`, `experiment`,
`fold`, `epoch` and that epoch's `metrics`; also `modules` if the loss or a metric has a state. A weight that is None in
`model` is stored in a file beside the checkpoint. The digest of that file's weights is `shared` (`shared_weights.py`).
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.engine.foreign_objects import CodeError, is_not_read, kind_of, read_without_code
from harness.errors import ModelError
from harness.util.files import write_whole
from harness.util.schema import is_inside

FORMAT = "harness-checkpoint-1"
MOST_UNPACKED = 256 * 2**20  # bytes that a small file may unpack to
MOST_TIMES = 20  # a larger file may unpack to this many times its size
SHARED = "shared"  # key in a checkpoint: the digest of the weights that are stored in another file
HOLDS = "holds"  # key in that other file: the digest of the weights that checkpoints share
SHARED_FILE = "shared.pt"
MODEL_FILE = "model.pt"  # the refit's checkpoint, which needs no other file


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes a file beside `path`, syncs it, and renames it to `path`. So a crash never leaves half a file.

    Raises StorageError if the disk refuses.
    """
    write_whole(path, _to_bytes(content))


def add(path: Path, **values: Any) -> None:
    """Adds plain values to a checkpoint, or replaces them, in one write. Raises ModelError or StorageError."""
    save(path, read(path) | values)


def whole(path: Path) -> bytes:
    """Returns the bytes of a checkpoint that needs no other file: shared weights are included. Raises ModelError."""
    content = read(path)
    if content.get("format") != FORMAT or SHARED not in content:
        return path.read_bytes()
    return _to_bytes({name: value for name, value in _completed(path, content).items() if name != SHARED})


def _to_bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(_exact({"format": FORMAT, **content}), buffer)
    return buffer.getvalue()


def _exact(value: Any) -> Any:
    """Returns the value in types that a safe load accepts: a plain str for a subclass of str, and so on."""
    if isinstance(value, dict):
        return {_exact(key): _exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, torch.Tensor):
        return _alone(value)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _alone(value: torch.Tensor) -> torch.Tensor:
    """Returns a tensor with only its own storage: torch.save writes the whole storage that a view belongs to."""
    is_dense = value.layout == torch.strided and not value.is_quantized
    is_part = is_dense and value.untyped_storage().nbytes() > value.numel() * value.element_size()
    return value.clone() if is_part else value


def load(path: Path) -> dict[str, Any]:
    """Reads a file as `read` does, and adds the weights that a checkpoint shares, from the file beside it.

    Raises ModelError if one of the files is missing or damaged, or is not such a file.
    """
    return _completed(path, read(path))


def _completed(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Adds the shared weights to the content of a file."""
    digest, model = content.get(SHARED), content.get("model")
    if content.get("format") != FORMAT or not isinstance(digest, str) or not isinstance(model, dict):
        return content
    shared = shared_beside(path, digest)
    return {**content, "model": {name: shared.get(name) if value is None else value for name, value in model.items()}}


def shared_beside(path: Path, digest: str) -> dict[str, Any]:
    """Returns the weights with that digest from a file beside a checkpoint. Raises ModelError if no file has them."""
    problems = []
    for beside in (path.with_name(SHARED_FILE), path.with_name(MODEL_FILE)):
        if not beside.is_file():
            problems.append(f"{beside.name} is not there")
        elif not is_inside(beside, path.parent):
            problems.append(f"{beside.name} is a link to a place outside the folder")
        else:
            held = read(beside)
            if held.get(HOLDS) == digest and isinstance(held.get("model"), dict):
                return dict(held["model"])
            problems.append(f"{beside.name} holds other weights")
    raise ModelError(
        f"{path} lacks its frozen weights",
        f"the checkpoints of a run share them, in a file beside them: {', '.join(problems)}",
        "copy the whole folder of checkpoints; or harness refit RUN, whose model.pt needs no other file",
    )


def read(path: Path) -> dict[str, Any]:
    """Reads the dictionary in a torch or safetensors file, on the CPU. The keys of a list are its positions.

    Runs no code of the file: an object that is neither a tensor nor a plain value becomes a `NotRead`.

    Raises ModelError if the file is missing or damaged, or is not such a file.
    """
    start = _first_bytes(path)
    if _is_safetensors(start):
        return _safetensors(path)
    if not start.startswith((b"PK\x03\x04", b"\x80")):
        why = f"it begins with {start[:4]!r}" if start else "it is empty"
        raise ModelError(f"{path} is not a torch file", why, "name a file that torch.save or safetensors wrote")
    require_intact(path)
    try:
        content = read_without_code(path)
    except CodeError as error:
        fix = converting(path, method="" if error.is_plain else ".state_dict()")
        raise ModelError(f"{path} is not loaded", str(error), fix) from error
    except Exception as error:  # torch raises many kinds of exceptions for a damaged file
        raise _damaged(path, error) from error
    if is_not_read(content):
        raise ModelError(
            f"{path} is not loaded",
            f"it contains Python objects, and loading them can run code: the whole file is a {kind_of(content)}",
            converting(path),
        )
    if isinstance(content, (list, tuple)):  # as [model, optimizer]
        content = dict(enumerate(content))
    _require_stored(path, content)
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} is not a checkpoint", f"it holds a {type(content).__name__}, not a dictionary", "save a state dict"
        )
    return content


def converting(path: Path, key: str = "", method: str = ".state_dict()") -> str:
    """Returns the line of Python that saves only the weights of a model in `path`, for a user who trusts the file.

    Args:
        path: The file.
        key: The key of the model in the file's dictionary; empty if the whole file is the model.
        method: The call that returns the weights of that object.
    """
    part = f'["{key}"]' if key else ""
    return (
        f"if you trust it: torch.save(torch.load({path.name!r}, weights_only=False){part}{method}, "
        f"{f'{path.stem}-weights.pth'!r})"
    )


def _damaged(path: Path, error: Exception) -> ModelError:
    """Returns the error for a file that torch cannot read. It names the two other archive formats that torch writes.

    Files of torch.jit.save and torch.export.save contain weights too, so the error says how to extract them.
    """
    names: list[str] = []
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    weights = f"{f'{path.stem}-weights.pth'!r}"
    if any(name.endswith("constants.pkl") for name in names):
        fix = f"torch.save(torch.jit.load({path.name!r}).state_dict(), {weights})"
        return ModelError(f"{path} is not loaded", "it is a TorchScript program, not a state dict", fix)
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        fix = f"torch.save(torch.export.load({path.name!r}).state_dict, {weights})"
        return ModelError(f"{path} is not loaded", "it is a program that torch.export wrote, not a state dict", fix)
    first = (str(error) or type(error).__name__).splitlines()[0]
    return ModelError(
        f"{path} cannot be read", f"it is damaged or not a torch file: {first}", "name a file that torch.save wrote"
    )


def _is_safetensors(start: bytes) -> bool:
    """Returns whether a file begins like a safetensors file: 8 bytes of length, then a JSON object."""
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**32


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read", f"damaged: {error}", "name a complete file that safetensors wrote"
        ) from error


def require_intact(path: Path) -> None:
    """Raises ModelError if a part of a zip archive was changed after it was written. Torch does not check this."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size):  # torch does not compress
                raise ModelError(
                    f"{path} is not read",
                    f"its {path.stat().st_size:,} bytes unpack to {unpacked:,}, which is too much for weights",
                    "name a file that torch.save wrote",
                )
            part = archive.testzip()
    except ModelError:
        raise
    except Exception:  # not a zip archive, or of another kind: torch reports that itself
        return
    if part is not None:
        raise ModelError(f"{path} cannot be read", f"damaged: the checksum of {part} is wrong", "name another file")


def _require_stored(path: Path, value: Any) -> None:
    """Raises ModelError for a tensor larger than the file: by stride 0, one stored number can stand for 2**36."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu":
        size = value.numel() * value.element_size()
        if size > MOST_UNPACKED and size > value.untyped_storage().nbytes():
            raise ModelError(
                f"{path} is not read",
                f"a tensor {tuple(value.shape)} in it needs {size:,} bytes, but the file has only "
                f"{value.untyped_storage().nbytes():,}",
                "name a file with complete weights",
            )
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        _require_stored(path, part)


def _first_bytes(path: Path) -> bytes:
    """Returns the first 9 bytes. Raises ModelError unless `path` is a readable file."""
    if path.exists() and not path.is_file():
        raise ModelError(
            f"{path} cannot be read", "it is a folder, a pipe or a device", "name a file that torch.save wrote"
        )
    try:
        with path.open("rb") as file:
            return file.read(9)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} does not exist", f"looked in {path.parent.absolute()}", "name a file that exists, or imagenet"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read", str(error.strerror), "name a file that torch.save wrote") from error
