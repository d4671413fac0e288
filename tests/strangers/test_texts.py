"""Names of classes and files as somebody could choose them, wherever they are shown."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from harness.data.decode import decode
from harness.errors import UsageError
from harness.runs.run_folder import RunFolder
from tests.conftest import write_experiment
from tests.strangers.conftest import CONTROL, Sandbox

ODD = "=cmd()\x1b[2J\u202e|<img src=x onerror=alert(1)>"


@pytest.fixture
def odd(sandbox: Sandbox, scenery: Path) -> Path:
    """Images with one class, and one image in it, of an odd name."""
    data = sandbox.project / "data"
    shutil.copytree(scenery, data)
    (data / "sea").rename(data / ODD)
    first = next((data / ODD).iterdir())
    first.rename(first.with_name("-\x07\n@x.jpg"))
    write_experiment(sandbox.project / "experiments/odd.py", data, epochs=1)
    return data


@pytest.mark.skipif(os.name == "nt", reason="a file cannot have such a name there")
def test_odd_names_are_harmless_in_all_that_a_run_and_a_test_show(sandbox: Sandbox, odd: Path) -> None:
    assert r"=cmd()\x1b[2J\u202e|<img" in sandbox.runs("run", "odd", "--dry-run").err
    outcome = sandbox.runs("run", "odd", "--json")
    assert outcome.code == 0
    folder = RunFolder.open(Path(json.loads(outcome.out)["run_dir"]))
    raw = (folder.path / "predictions.csv").read_bytes()
    assert b"\x1b" not in raw
    assert b"\x07" not in raw
    with (folder.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert not [cell for row in rows for cell in row if CONTROL.search(cell) or "\n" in cell]
    read = folder.predictions()
    assert {read.classes[label] for label in read.labels} == {ODD, "forest"}
    assert f"{ODD}/-\x07\n@x.jpg" in read.paths
    assert all((odd / path).is_file() for path in read.paths)
    summary = sandbox.project / "summary.md"
    tested = sandbox.runs("test", folder.path, "--data", odd, "--allow-leak", "--min-accuracy", 0, "--summary", summary)
    assert tested.code == 0
    assert r"=cmd()\x1b[2J\u202e|<img" in tested.out
    text = summary.read_text()
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not CONTROL.search(text)
    assert sandbox.runs("list").code == 0
    promoted = sandbox.runs("champion", "promote", folder.path, "--data", odd, "--force")
    assert promoted.code == 0
    assert sandbox.runs("champion", "show").code == 0


@pytest.mark.skipif(os.name == "nt", reason="a file cannot have such a name there")
def test_odd_names_are_harmless_in_errors(sandbox: Sandbox, odd: Path) -> None:
    (odd / ODD / "bad\x1b]0;x\x07.jpg").write_bytes(b"no image")
    outcome = sandbox.runs("run", "odd")
    assert (outcome.code, len(outcome.error_lines)) == (4, 3)
    assert r"bad\x1b]0;x\x07.jpg" in outcome.err
    shutil.rmtree(odd / ODD)
    (odd / ODD).mkdir()
    outcome = sandbox.runs("run", "odd")
    assert (outcome.code, len(outcome.error_lines)) == (4, 3)


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot have such a name there")
@pytest.mark.parametrize("name", ["1:cat", "\\alpha", "a\\..\\b", "x;=1+1", "ca\udcfft"])
def test_names_that_mean_something_elsewhere_are_names_here(sandbox: Sandbox, scenery: Path, name: str) -> None:
    shutil.copytree(scenery, sandbox.project / "data")
    (sandbox.project / "data/sea").rename(sandbox.project / "data" / name)
    write_experiment(sandbox.project / "experiments/odd.py", sandbox.project / "data", epochs=1)
    output = json.loads(sandbox.runs("run", "odd", "--json").out)
    folder = RunFolder.open(Path(output["run_dir"]))
    assert {*folder.predictions().classes} == {"forest", name}
    text = (folder.path / "predictions.csv").read_text(encoding="utf-8", errors="surrogateescape")
    assert not [cell for row in csv.reader(text.splitlines(), delimiter=";") for cell in row if cell.startswith("=")]
    assert sandbox.runs("reproduce", folder.path, "--dry-run").code == 0
    summary = sandbox.project / "summary.md"
    assert (
        sandbox.runs(
            "test", folder.path, "--data", "data", "--allow-leak", "--min-accuracy", 0, "--summary", summary
        ).code
        == 0
    )


def test_bytes_that_are_no_text_are_shown_as_they_are_written(sandbox: Sandbox) -> None:
    sandbox.change(sandbox.run / "run.json", "status", "failed")
    sandbox.change(sandbox.run / "run.json", "error", "E\udcc2\udc9b2J")
    assert r"E\udcc2\udc9b2J" in sandbox.runs("list").out


def test_an_error_does_not_fill_the_screen() -> None:
    assert len(str(UsageError("x" * 10**6, "y z " * 10**6, "z"))) < 10_000


def test_an_experiment_that_fails_with_odd_words(sandbox: Sandbox) -> None:
    (sandbox.project / "experiments/bad.py").write_text("raise ValueError('\\x1b[2J\\r\\nerror: forged')\n")
    outcome = sandbox.runs("run", "bad")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert r"\x1b[2J" in outcome.err
    assert sandbox.runs("list").code == 0


def test_an_image_that_would_run_a_program_is_not_opened(sandbox: Sandbox) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    with pytest.raises(OSError, match="cannot identify"):
        decode(eps)
