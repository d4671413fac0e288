"""Image files that Pillow does not write, drawn byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def file_of(image: Image.Image | Array, kind: str = "PNG", **options: Any) -> bytes:
    """An image file written by Pillow."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values: Array, *chunks: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A 16-bit PNG, (H, W) or (H, W, C). Its rows use all five filters in turn; `size` may claim another size."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    header = struct.pack(">IIBBBBB", *(size or (width, height)), 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    data, above, step = b"", np.zeros_like(rows[0]), 2 * channels
    for place, row in enumerate(rows):
        left, corner = (np.concatenate([np.zeros(step, int), line])[: len(row)] for line in (row, above))
        nearest = [np.abs(left + above - corner - line) for line in (left, above, corner)]
        paeth = np.choose(np.argmin(nearest, axis=0), [left, above, corner])
        guess = (0, left, above, (left + above) // 2, paeth)[place % 5]
        data += bytes([place % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(data)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: Array, bits: int = 0, photometric: int | None = None, **tags: int) -> bytes:
    """An uncompressed little-endian TIFF of (H, W) or (H, W, C) in its dtype, or packed to `bits` bits."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    data = values.tobytes()
    if bits:
        rows = ("".join(f"{value:0{bits}b}" for value in row.ravel()) for row in values)
        text = "".join(row + "0" * (-len(row) % 8) for row in rows)
        data = int(text, 2).to_bytes(len(text) // 8, "big")
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries: dict[int, int | Sequence[int]] = {
        256: width,
        257: height,
        258: [bits or 8 * values.dtype.itemsize] * channels,
        259: 1,
        262: photometric if photometric is not None else (1 if channels < 3 else 2),
        277: channels,
        278: height,
        279: len(data),
        339: [kind] * channels,
        **({338: tags.pop("extra", 2)} if channels in (2, 4) and photometric != 5 else {}),
        **{int(name.removeprefix("tag")): value for name, value in tags.items()},
    }
    ends = 8 + 2 + 12 * (len(entries) + 1) + 4
    tail, body = b"", b""
    for number, value in sorted({**entries, 273: 0}.items()):
        numbers = [value] if isinstance(value, int) else list(value)
        if number == 273:
            body += struct.pack("<HHI4s", 273, 4, 1, b"HERE")
        elif len(numbers) <= 2:
            short = len(numbers) == 2
            body += struct.pack("<HHI", number, 3 if short else 4, len(numbers))
            body += struct.pack("<HH", *numbers) if short else struct.pack("<I", numbers[0])
        else:
            body += struct.pack("<HHII", number, 3, len(numbers), ends + len(tail))
            tail += struct.pack(f"<{len(numbers)}H", *numbers)
    body = body.replace(b"HERE", struct.pack("<I", ends + len(tail)))
    return b"II*\0" + struct.pack("<IH", 8, len(entries) + 1) + body + struct.pack("<I", 0) + tail + data
