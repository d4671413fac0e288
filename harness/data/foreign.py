"""Folders that other programs, or harness itself, put among images: never a class, and their files are no images."""

from __future__ import annotations

import os
from pathlib import Path

# In lower case. macOS archives; Synology, QNAP and Samba; Windows; ext4; Python; MLflow; hidden folders with copies of
# pictures. Other names that begin with a dot (.git, .cache) are left out without being counted.
NAMES = frozenset(
    (
        *("__macosx",),
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
        *("lost+found", "__pycache__", "mlruns"),
        *(".thumbnails", ".thumbs", ".ipynb_checkpoints", ".picasaoriginals", ".trash", ".trashes"),
    )
)
# a project's own folders -> the files that show that they are
MARKS = {"runs": "*/*/run.json", "models": "champion.json", "experiments": "*.py"}

CHANGES, LOG = "-changes", "log.json"  # how the name of a folder ends that has what was removed, and its mark


def is_foreign(folder: Path) -> bool:
    """Whether no person has put images there: by its name, or because it is a folder of a project of harness."""
    name = folder.name.lower()
    if name.endswith(CHANGES) and any(folder.glob(f"*/{LOG}")):
        return True
    return name in NAMES or (name in MARKS and any(folder.glob(MARKS[name])))


def is_hidden(name: str) -> bool:
    """Whether a folder is nothing that people put images in, and nothing to be counted."""
    return name.startswith(".") and name.lower() not in NAMES


def count_files(folder: Path) -> int:
    """Files in the folder, at any depth; links are not followed."""
    return sum(len(files) for _, _, files in os.walk(folder))
