"""The notebook of the documentation: all its cells run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.demo import draw_demo

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/notebook.ipynb"


def test_notebook_contains_no_paths_of_the_machine_that_ran_it() -> None:
    text = NOTEBOOK.read_text()
    assert str(Path.home()) not in text
    assert "/tmp/" not in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_notebook_runs(project: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    draw_demo(project / "data")
    (project / "experiments").mkdir(exist_ok=True)
    (project / "experiments/quickstart.py").write_text((ROOT / "experiments/quickstart.py").read_text())
    notebook = nbformat.read(NOTEBOOK, 4)
    resources = {"metadata": {"path": str(project)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    last = notebook.cells[-1].outputs[-1]
    assert last.data["text/plain"].startswith("(True, PosixPath(")
    bars = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    assert bars  # a run shows its progress
