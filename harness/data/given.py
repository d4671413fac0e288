"""Images that Python code hands over: paths, bytes, PIL images, arrays, tensors."""

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

# what `values_of` and `is_one` take: a path, the bytes of a file, a PIL image, an array or a tensor
Given = Any


def is_one(given: Given) -> bool:
    """Whether `given` is one image, and not several. Raises UsageError for anything that holds no images.

    An array of four dimensions and a tensor of four are several images.
    """
    if isinstance(given, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)) or _is_open_file(given):
        return True
    if _is_names(given):
        return False
    if isinstance(given, Mapping):  # iterated, it gives its keys
        raise _no_image(given)
    if isinstance(given, (np.ndarray, torch.Tensor)):
        return given.ndim != 4
    if isinstance(given, Iterable):
        return False
    raise _no_image(given)


def raw_of(given: Given) -> Raw:
    """The pixels of one image, upright, as `decode.read` returns those of a file.

    Args:
        given: A path; the bytes of a file, or an open one; a PIL image, which the camera's rotation (EXIF) is applied
            to as to a file; an array (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; a tensor (C, H, W) or (H, W).
            The values of arrays and tensors are uint8, uint16, or real numbers from 0 to 1.

    Raises:
        DataError: The file cannot be read.
        UsageError: It is no image, or its values say nothing of their range.
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
    """Whether it is a file: also one of `tempfile` or of a web framework, which is no `io.IOBase`."""
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
        raise DataError(f"{name} cannot be read", str(error), "open it, and close it after the prediction") from error
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise UsageError(f"{name} gives no bytes", "it was opened as text", 'open(path, "rb"), or the path alone')
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
            f"the shape {tuple(values.shape)} is no image",
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
            f"the values go from {low:g} to {high:g}",
            "real numbers count from 0 (black) to 1 (white); nan and normalised values do not say what white is",
            "the image before its normalisation, or uint8 from 0 to 255",
        )
    raise UsageError(
        f"an image of {values.dtype} says nothing of its range",
        "uint8 goes from 0 to 255, uint16 is as in a file, real numbers go from 0 to 1",
        "array.astype('uint8') if white is 255",
    )


def _no_image(given: object) -> UsageError:
    return UsageError(
        f"a {type(given).__name__} is no image",
        "an image is a path, the bytes of a file, a PIL image, an array or a tensor",
        'model.predict("photo.jpg")',
    )
