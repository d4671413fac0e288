"""MD5s as DVC 2 made them: of a text, with line ends as on Unix.

DVC 3 makes them of the bytes as they are. It writes `hash: md5` to a `.dvc` file, which one by DVC 2 lacks, and keeps
the files of the two kinds apart, in its cache and in a remote.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 2**20  # bytes; whether it is text is decided for each chunk, as by DVC
BLOCK = 512  # bytes of a chunk that are looked at
TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
MOST_OTHERS = 0.30  # share of other bytes in a text


def dos2unix_md5(path: Path) -> str:
    """Returns the MD5 of a file that DVC calls `md5-dos2unix`. Raises OSError if the file cannot be read."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk.replace(b"\r\n", b"\n") if _is_text(chunk[:BLOCK]) else chunk)
    return digest.hexdigest()


def _is_text(block: bytes) -> bool:
    return b"\0" not in block and len(block.translate(None, TEXT)) <= MOST_OTHERS * len(block)
