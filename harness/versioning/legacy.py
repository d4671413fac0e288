"""MD5s of DVC 2. For a text file, they are computed with the line ends of Unix.

DVC 3 computes them from the unchanged bytes. It writes `hash: md5` to a `.dvc` file, which DVC 2 did not. It stores
the files of the two kinds in different places, both in its cache and in a remote.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 2**20  # bytes; as in DVC, each chunk is checked for being text
BLOCK = 512  # bytes of a chunk that are checked
TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
MOST_OTHERS = 0.30  # share of other bytes in a text


def dos2unix_md5(path: Path) -> str:
    """Returns the MD5 that DVC calls `md5-dos2unix`. Raises OSError if the file cannot be read."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk.replace(b"\r\n", b"\n") if _is_text(chunk[:BLOCK]) else chunk)
    return digest.hexdigest()


def _is_text(block: bytes) -> bool:
    return b"\0" not in block and len(block.translate(None, TEXT)) <= MOST_OTHERS * len(block)
