"""The fingerprint of an image: a hash of its decoded pixels, independent of the file's name and compression."""

from __future__ import annotations

import hashlib

import numpy as np

from harness.data.decode import Raw


def fingerprint(raw: Raw) -> int:
    """64 bits of the SHA-1 of an image's size and pixels, never 0.

    It is the same for an image as PNG, as BMP, and with an alpha channel that is fully opaque.
    """
    if raw.image is not None:
        values = np.asarray(raw.image.convert("RGBA" if raw.image.has_transparency_data else "RGB"))
    else:
        assert raw.values is not None
        values = raw.values
    if values.ndim == 3 and values.shape[2] in (2, 4) and (values[..., -1] == values[..., -1].max()).all():
        values = values[..., :-1] if values.shape[2] == 4 else values[..., 0]
    sha1 = hashlib.sha1(repr((values.shape, values.dtype.str, raw.inverted)).encode(), usedforsecurity=False)
    sha1.update(np.ascontiguousarray(values).data)
    return int.from_bytes(sha1.digest()[:8], "little", signed=True) or 1
