"""Which files are pictures, by name."""

from __future__ import annotations

from pathlib import PurePosixPath

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)


def is_image_name(name: str) -> bool:
    """Whether a file is a picture by its name; one that begins with a dot is some system's own note about a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")
