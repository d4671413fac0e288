"""Checkpoints: one dictionary of tensors and plain values in a file that is whole or not there, and runs no code.

A checkpoint of a run holds all that its model needs to be built again: `model` (the state dict), `architecture`,
`classes` (names, in the order of the logits), `transform`, `experiment`, `fold`, `epoch` and that epoch's `metrics`;
`modules` if the loss or a metric has a state. Weights that are None in `model` lie in a file beside it, whose digest is
`shared` (`shared_weights.py`).
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
MOST_TIMES = 20  # its size, that a larger one may unpack to
SHARED = "shared"  # in a checkpoint: the digest of weights that lie in another file
HOLDS = "holds"  # in that file: the digest of weights that others share
SHARED_FILE = "shared.pt"
MODEL_FILE = "model.pt"  # of the refit, which needs no other file


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes beside `path`, syncs, and renames over it: a crash leaves the old file or the new one, never half of one.

    Raises StorageError where the disk refuses.
    """
    write_whole(path, _to_bytes(content))


def add(path: Path, **values: Any) -> None:
    """Adds plain values to a checkpoint, or replaces them, in one step. Raises ModelError or StorageError."""
    save(path, read(path) | values)


def whole(path: Path) -> bytes:
    """The file, as it is if it needs no other one, else with the weights that it shares. Raises ModelError."""
    content = read(path)
    if content.get("format") != FORMAT or SHARED not in content:
        return path.read_bytes()
    return _to_bytes({name: value for name, value in _completed(path, content).items() if name != SHARED})


def _to_bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(_exact({"format": FORMAT, **content}), buffer)
    return buffer.getvalue()


def _exact(value: Any) -> Any:
    """The same in types that a safe load takes: of subclasses of str or float, and numpy's numbers, the value."""
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
    """A tensor without the rest of its storage: of a view, torch.save would write all that it is a view of."""
    is_dense = value.layout == torch.strided and not value.is_quantized
    is_part = is_dense and value.untyped_storage().nbytes() > value.numel() * value.element_size()
    return value.clone() if is_part else value


def load(path: Path) -> dict[str, Any]:
    """As `read`. A checkpoint of ours also gets the weights that it shares, from the file beside it.

    Raises ModelError if one of the files is missing, damaged, or holds anything else.
    """
    return _completed(path, read(path))


def _completed(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content of a file, with the weights that it shares."""
    digest, model = content.get(SHARED), content.get("model")
    if content.get("format") != FORMAT or not isinstance(digest, str) or not isinstance(model, dict):
        return content
    there = shared_beside(path, digest)
    return {**content, "model": {name: there.get(name) if value is None else value for name, value in model.items()}}


def shared_beside(path: Path, digest: str) -> dict[str, Any]:
    """The weights with that digest, from a file beside a checkpoint. Raises ModelError if no file holds them."""
    problems = []
    for beside in (path.with_name(SHARED_FILE), path.with_name(MODEL_FILE)):
        if not beside.is_file():
            problems.append(f"{beside.name} is not there")
        elif not is_inside(beside, path.parent):
            problems.append(f"{beside.name} is a link that leads elsewhere")
        else:
            held = read(beside)
            if held.get(HOLDS) == digest and isinstance(held.get("model"), dict):
                return dict(held["model"])
            problems.append(f"{beside.name} holds other weights")
    raise ModelError(
        f"{path} lacks its frozen weights",
        f"the models of a run share them in a file beside them: {', '.join(problems)}",
        "copy the whole folder of checkpoints; or harness refit RUN, whose model.pt needs no other file",
    )


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a file of torch or of safetensors, on the CPU; a list is a dictionary by position.

    No code in the file is run: an object that is neither a tensor nor a plain value is a `NotRead`.

    Raises ModelError if the file is missing, damaged, or holds anything else.
    """
    start = _first_bytes(path)
    if _is_safetensors(start):
        return _safetensors(path)
    if not start.startswith((b"PK\x03\x04", b"\x80")):
        why = f"it begins with {start[:4]!r}" if start else "it is empty"
        raise ModelError(f"{path} is no torch file", why, "name a file that torch.save or safetensors wrote")
    require_intact(path)
    try:
        content = read_without_code(path)
    except CodeError as error:
        fix = converting(path, method="" if error.is_plain else ".state_dict()")
        raise ModelError(f"{path} is not loaded", str(error), fix) from error
    except Exception as error:  # what torch raises of a damaged file is of any kind
        raise _damaged(path, error) from error
    if is_not_read(content):
        raise ModelError(
            f"{path} is not loaded",
            f"it holds Python objects, whose loading can run code: the whole file is a {kind_of(content)}",
            converting(path),
        )
    if isinstance(content, (list, tuple)):  # as [model, optimizer]
        content = dict(enumerate(content))
    _require_stored(path, content)
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} is no checkpoint", f"it holds a {type(content).__name__}, not a dictionary", "save a state dict"
        )
    return content


def converting(path: Path, key: str = "", method: str = ".state_dict()") -> str:
    """The line that writes the weights of a model in `path` to a file of tensors; for people who trust the file.

    Args:
        path: The file.
        key: Where in the file's dictionary the model is; empty if it is the whole file.
        method: What gives the weights of the object there.
    """
    part = f'["{key}"]' if key else ""
    return (
        f"if you trust it: torch.save(torch.load({path.name!r}, weights_only=False){part}{method}, "
        f"{f'{path.stem}-weights.pth'!r})"
    )


def _damaged(path: Path, error: Exception) -> ModelError:
    """What torch says of a file that it cannot read; of the two other kinds of archives that it writes, what they are.

    A program that torch.jit.save or torch.export.save wrote holds weights, too.
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
        f"{path} cannot be read", f"damaged, or no torch file: {first}", "name a file that torch.save wrote"
    )


def _is_safetensors(start: bytes) -> bool:
    """Whether a file begins as safetensors writes it: the length of a JSON object, and that."""
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**32


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read", f"damaged: {error}", "name a file that safetensors wrote whole"
        ) from error


def require_intact(path: Path) -> None:
    """Raises ModelError where a part of a zip archive is not what was written, which torch does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size):  # torch itself packs nothing
                raise ModelError(
                    f"{path} is not read",
                    f"its {path.stat().st_size:,} bytes unpack to {unpacked:,}, more than weights do",
                    "name a file that torch.save wrote",
                )
            part = archive.testzip()
    except ModelError:
        raise
    except Exception:  # no archive, or one of a kind that torch does not write: torch says what it makes of it
        return
    if part is not None:
        raise ModelError(f"{path} cannot be read", f"damaged: the checksum of {part} is wrong", "name another file")


def _require_stored(path: Path, value: Any) -> None:
    """Raises ModelError for a tensor of more numbers than the file holds: one number can stand for 2**36."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu":
        size = value.numel() * value.element_size()
        if size > MOST_UNPACKED and size > value.untyped_storage().nbytes():
            raise ModelError(
                f"{path} is not read",
                f"a tensor {tuple(value.shape)} in it asks for {size:,} bytes, and the file has "
                f"{value.untyped_storage().nbytes():,} of them",
                "name a file with whole weights",
            )
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        _require_stored(path, part)


def _first_bytes(path: Path) -> bytes:
    """The first 9 bytes. Raises ModelError unless `path` is a file that can be read."""
    if path.exists() and not path.is_file():
        raise ModelError(
            f"{path} cannot be read", "it is a folder, a pipe or a device", "name a file that torch.save wrote"
        )
    try:
        with path.open("rb") as file:
            return file.read(9)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} is not there", f"looked in {path.parent.absolute()}", "name a file that exists, or imagenet"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read", str(error.strerror), "name a file that torch.save wrote") from error
