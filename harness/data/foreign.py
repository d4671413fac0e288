"""Folders that other programs or harness create among images. They are not classes, and their files are not used."""

from __future__ import annotations

import os
from pathlib import Path

# In lower case: macOS archives; Synology, QNAP and Samba; Windows; ext4, Python, MLflow; hidden folders with copies of
# images. Other folders whose name begins with a dot (.git, .cache) are left out and not counted.
NAMES = frozenset(
    (
        *("__macosx",),
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
        *("lost+found", "__pycache__", "mlruns"),
        *(".thumbnails", ".thumbs", ".ipynb_checkpoints", ".picasaoriginals", ".trash", ".trashes"),
    )
)
# a folder of a harness project -> files that identify it
MARKS = {"runs": "*/*/run.json", "models": "champion.json", "experiments": "*.py"}

CHANGES, LOG = "-changes", "log.json"  # a folder of removed images: the end of its name, and a file that identifies it


def is_foreign(folder: Path) -> bool:
    """Whether a folder was made by a program: by its name, or because it is a folder of a harness project."""
    name = folder.name.lower()
    if name.endswith(CHANGES) and any(folder.glob(f"*/{LOG}")):
        return True
    return name in NAMES or (name in MARKS and any(folder.glob(MARKS[name])))


def is_hidden(name: str) -> bool:
    """Whether a folder is hidden, so that it is left out and not counted."""
    return name.startswith(".") and name.lower() not in NAMES


def count_files(folder: Path) -> int:
    """Number of files in the folder, at any depth. Links are not followed."""
    return sum(len(files) for _, _, files in os.walk(folder))
