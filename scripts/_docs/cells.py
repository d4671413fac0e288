"""Runs the notebook of the pages and keeps what its cells show."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from projects import make_project
from shell import Shell


def run_notebook(path: Path, scratch: Path) -> None:
    """Executes the notebook in a project with the demo data, and writes it with its outputs."""
    nbclient: Any = importlib.import_module("nbclient")
    nbformat: Any = importlib.import_module("nbformat")
    with tempfile.TemporaryDirectory(prefix="notebook-", dir=scratch) as home:
        folder = Path(home) / "project"
        make_project("demo", folder, scratch)
        notebook = nbformat.read(path, 4)
        with Shell(folder, scratch) as shell, patch.dict(os.environ, shell.environment):
            resources = {"metadata": {"path": str(folder)}}
            nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
            text = shell.shown(nbformat.writes(notebook))
    path.write_text(f"{text.rstrip()}\n", encoding="utf-8")
