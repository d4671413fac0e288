"""Images that a Python function receives: paths, bytes, PIL images, arrays, tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harness.data.check import content_of
from harness.data.decode import Raw, of_pillow, problem, read
from harness.errors import DataError, UsageError

# one or several images: a path, the bytes of a file, a PIL image, an array or a tensor
Given = Any


def is_one(given: Given) -> bool:
    """Whether `given` is one image, and not several. Raises UsageError if it is neither.

    An array or a tensor with four dimensions is several images.
    """
    if isinstance(given, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)) or _is_open_file(given):
        return True
    if _is_names(given):
        return False
    if isinstance(given, Mapping):  # iterable, but over its keys
        raise _no_image(given)
    if isinstance(given, (np.ndarray, torch.Tensor)):
        return given.ndim != 4
    if isinstance(given, Iterable):
        return False
    raise _no_image(given)


def raw_of(given: Given) -> Raw:
    """Converts one image to the result of `decode.read`: its pixels, with the camera's rotation (EXIF) applied.

    Args:
        given: A path; the bytes of a file; an open file; a PIL image; an array (H, W), (H, W, 1), (H, W, 3) RGB or
            (H, W, 4) RGBA; a tensor (C, H, W) or (H, W). Arrays and tensors have dtype uint8, uint16, or float with
            values from 0 to 1.

    Raises:
        DataError: The file cannot be read.
        UsageError: `given` is not an image, or the range of its values is not known.
    """
    if isinstance(given, (str, os.PathLike)):
        content, why = content_of(Path(given))
        return _read(content, str(given), why)
    if _is_open_file(given):
        given = _content(given)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return _read(bytes(given), f"{len(given)} bytes", "")
    if isinstance(given, Image.Image):
        return of_pillow(given)
    if isinstance(given, torch.Tensor):
        values = given.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
        return _of_array(values.movedim(0, -1).numpy() if values.ndim == 3 else values.numpy(), "tensor (C, H, W)")
    if isinstance(given, np.ndarray):
        return _of_array(given, "array (H, W, C)")
    raise _no_image(given)


def _is_open_file(given: object) -> bool:
    """Whether it is a file. Files of `tempfile` and of web frameworks are not an `io.IOBase`."""
    return callable(getattr(given, "read", None)) and not isinstance(given, (np.ndarray, torch.Tensor))


def _is_names(given: object) -> bool:
    """Whether it is an array of paths."""
    return isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "OU"


def _content(file: Any) -> bytes:
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else f"a {type(file).__name__}"
    try:
        content = file.read()
    except UnicodeDecodeError:
        content = ""
    except (OSError, ValueError) as error:  # such as a file that is closed
        raise DataError(f"{name} cannot be read", str(error), "close the file after the prediction") from error
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise UsageError(f"{name} returns no bytes", "it was opened as text", 'open(path, "rb"), or only the path')
    return bytes(content)


def _read(content: bytes, name: str, why: str) -> Raw:
    made: list[Raw] = []
    why = why or problem(content, lambda content: made.append(read(content)))
    if why:
        raise DataError(f"{name} cannot be read", why, "another image")
    return made[0]


def _of_array(values: np.ndarray[Any, Any], what: str) -> Raw:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or 0 in values.shape or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise UsageError(
            f"an array of shape {tuple(values.shape)} is not an image",
            f"an image is one {what} of 1, 3 (RGB) or 4 (RGBA) channels",
            "array.transpose(1, 2, 0) if its channels come first" if "array" in what else "tensor.permute(2, 0, 1)",
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype == np.uint8:
        return Raw(image=Image.fromarray(np.ascontiguousarray(values)))
    if values.dtype == np.uint16:
        return Raw(values=values)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            return Raw(image=Image.fromarray(np.ascontiguousarray(np.rint(values * 255).astype(np.uint8))))
        raise UsageError(
            f"the float values are from {low:g} to {high:g}",
            "floats must be from 0 (black) to 1 (white), without nan, and must not be normalised",
            "the image before normalisation, or uint8 values from 0 to 255",
        )
    raise UsageError(
        f"the range of an image of dtype {values.dtype} is not known",
        "uint8 is from 0 to 255, uint16 is as in a file, float is from 0 to 1",
        "array.astype('uint8') if white is 255",
    )


def _no_image(given: object) -> UsageError:
    return UsageError(
        f"an object of type {type(given).__name__} is not an image",
        "an image is a path, the bytes of a file, a PIL image, an array or a tensor",
        'model.predict("photo.jpg")',
    )
