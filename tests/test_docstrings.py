"""The docstrings of public names: they have the sections of Google style, and their examples run."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli.main import run_command
from tests.conftest import made_once, write_experiment

NAMES = sorted({*harness.__all__} - {"__version__"})
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(harness, name))]
# types of what functions return: nobody needs to make one
NOT_IMPORTED = {
    "CrossValidation",
    "FoldResult",
    "Plan",
    "Prediction",
    "PredictionList",
    "Run",
    "State",
    "StudyRun",
    "Test",
}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def docstring_of(name: str) -> str:
    return inspect.getdoc(getattr(harness, name)) or ""


def sections_of(docstring: str) -> dict[str, str]:
    """The text below each heading of a Google-style docstring."""
    sections: dict[str, str] = {}
    heading = ""
    for line in docstring.splitlines():
        if line in {"Args:", "Attributes:", "Example:", "Raises:", "Returns:"}:
            heading = line[:-1]
        elif heading:
            sections[heading] = sections.get(heading, "") + line + "\n"
    return sections


@pytest.fixture(scope="session")
def project_of_examples(tmp_path_factory: pytest.TempPathFactory, scenery: Path) -> Path:
    """A project as docstrings assume it: images in `photos/`, an experiment on them, one finished run of it."""

    def make(project: Path) -> None:
        (project / "experiments").mkdir()
        shutil.copytree(scenery, project / "photos")
        shutil.copy(next((project / "photos/sea").iterdir()), project / "photo.jpg")
        write_experiment(project / "experiments/quickstart.py", Path("photos"), epochs=1)
        here = Path.cwd()
        os.chdir(project)
        try:
            assert run_command(["run", "quickstart"]) == 0
        finally:
            os.chdir(here)

    return made_once(tmp_path_factory, "examples", make)


@pytest.fixture
def example_folder(project_of_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project as the current folder."""
    shutil.copytree(project_of_examples, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_describes_its_arguments_and_its_result(name: str) -> None:
    function: Any = getattr(harness, name)
    sections = sections_of(docstring_of(name))
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter}:" in sections.get("Args", ""), f"{name} does not describe {parameter}"
    assert ("Returns" in sections) == (function.__annotations__["return"] not in (None, "None"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_IMPORTED])
def test_a_name_that_people_import_has_an_example(name: str) -> None:
    assert ">>>" in sections_of(docstring_of(name)).get("Example", ""), f"{name} has no example"


@pytest.mark.parametrize("name", [name for name in NAMES if ">>>" in docstring_of(name)])
def test_the_example_of_a_public_name_runs(name: str, example_folder: Path, undrawn: None) -> None:
    source = docstring_of(name)
    test = doctest.DocTestParser().get_doctest(source, {"__name__": name}, name, None, None)
    assert all(ast.parse(example.source) for example in test.examples)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)
