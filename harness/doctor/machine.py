"""Checks of Python, packages, device and disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from harness.cache.folder import cache_folder
from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.version import __version__

OLDEST = (3, 10)
NEEDED = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "matplotlib", "tqdm", "click", "optuna")
PACKAGES = ("torch", "torchvision", "mlflow", "tensorboard", "optuna", "dvc", "dvc-gdrive", "scikit-learn")
LITTLE, TOO_LITTLE = 5e9, 5e8  # free bytes; the checkpoints of a run take twice 45 MB per fold


def python() -> Iterator[Finding]:
    """Checks the version of Python, and the packages."""
    word = OK if sys.version_info >= OLDEST else PROBLEM
    where = "in a virtual environment" if sys.prefix != sys.base_prefix else "of the system"
    yield Finding(
        "python", word, f"{platform.python_version()}, {where}; harness {__version__}", "python 3.10 or newer"
    )
    versions = {name: _version(name) for name in {*NEEDED, *PACKAGES}}
    missing = [name for name in NEEDED if versions[name] is None]
    listed = ", ".join(f"{name} {versions[name]}" for name in PACKAGES if versions[name] is not None)
    if missing:
        yield Finding("packages", PROBLEM, f"{', '.join(missing)} missing", f"pip install {' '.join(missing)}")
    else:
        yield Finding("packages", OK, listed)


def device() -> Iterator[Finding]:
    """Reports the device for training, and its dtype."""
    import torch

    from harness.engine.device import choose_device
    from harness.engine.precision import choose_precision

    chosen = choose_device("auto")
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{torch.get_num_threads()} threads"
    precision = choose_precision("auto", chosen)
    yield Finding("device", OK, f"{chosen} ({name}), {precision.name}: {precision.reason}")


def disk() -> Iterator[Finding]:
    """Checks the free disk space for runs and for the cache."""
    for subject, folder in {"disk, runs": Path(), "disk, cache": cache_folder()}.items():
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not os.access(there, os.W_OK):
            yield Finding(subject, PROBLEM, f"{there} is not writable", f"chmod u+w {there}")
            continue
        free = shutil.disk_usage(there).free
        word = PROBLEM if free < TOO_LITTLE else WARNING if free < LITTLE else OK
        yield Finding(
            subject, word, f"{free / 1e9:.0f} GB free at {there}", "harness cache clear, or delete other files"
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
