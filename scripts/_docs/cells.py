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
            remove_widgets(notebook)
            text = shell.shown(nbformat.writes(notebook))
    path.write_text(f"{text.rstrip()}\n", encoding="utf-8")


def remove_widgets(notebook: Any) -> None:
    """Removes progress bars, which a page cannot show, and the times of the cells."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        outputs: list[Any] = []
        for output in cell.get("outputs", []):
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                continue
            if outputs and output.output_type == outputs[-1].output_type == "stream":
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        if cell.cell_type == "code":
            cell.outputs = outputs
