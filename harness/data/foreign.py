"""Folders that other programs, or harness itself, put among images: never a class, and their files are no images."""

from __future__ import annotations

import os
from pathlib import Path

# In lower case. macOS archives; Synology, QNAP and Samba; Windows; ext4; Python; MLflow.
# Names that begin with a dot (.thumbnails, .ipynb_checkpoints) are left out everywhere.
NAMES = frozenset(
    (
        *("__macosx",),
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
        *("lost+found", "__pycache__", "mlruns"),
    )
)


def is_foreign(folder: Path) -> bool:
    """Whether no person has put images there: by its name, or because it is a `runs/` with runs in it."""
    name = folder.name.lower()
    return name in NAMES or (name == "runs" and any(folder.glob("*/*/run.json")))


def count_files(folder: Path) -> int:
    """Files in the folder, at any depth; links are not followed."""
    return sum(len(files) for _, _, files in os.walk(folder))
