"""Checks which packages are installed, and names the command that installs more."""

from __future__ import annotations

import contextlib
import importlib.util
from importlib import metadata
from pathlib import Path
from shlex import quote

DISTRIBUTION = "image-harness"  # the name of this package for pip; `harness` on PyPI is another project
EXTRAS = {  # extra -> its packages; setup.cfg has the versions
    "dvc": "dvc dvc-gdrive",
    "explain": "captum",
    "heic": "pillow-heif",
    "notebook": "ipykernel ipywidgets",
    "onnx": "onnx onnxruntime onnxscript",
    "tiff": "tifffile imagecodecs",
    "timm": "timm",
}
CLONE = Path(__file__).resolve().parents[2]  # the folder of setup.cfg, unless harness was installed from a wheel


def installed(package: str) -> bool:
    """Whether a package is installed. Imports nothing."""
    with contextlib.suppress(ValueError):
        return importlib.util.find_spec(package) is not None
    return False


def install_command(extra: str) -> str:
    """The command that installs an extra of this package, for the way in which harness is installed.

    In a clone, pip reads the extra from `setup.cfg`; for a wheel, from the installed metadata. If there is neither, as
    in a model of MLflow, the command names the packages.
    """
    if (CLONE / "setup.cfg").is_file():
        clone = "." if Path.cwd() == CLONE else str(CLONE)
        return f"pip install -e {quote(f'{clone}[{extra}]')}"
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.distribution(DISTRIBUTION)
        return f"pip install {quote(f'{DISTRIBUTION}[{extra}]')}"
    return f"pip install {EXTRAS[extra]}"
