"""Lines that people read fit 100 columns, and are aligned."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from harness.cli.output import FIXED_SPACE, WIDTH, fitting
from tests.conftest import Outcome, Tracked, write_experiment

Call = Callable[..., Outcome]
WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen end"


def require_fitting(text: str, *, progress: bool = False) -> None:
    """Only a line with a long path alone may be longer, and the line of an epoch or a trial."""
    for line in text.splitlines():
        is_path = len(line.split()) <= 2 and "/" in line
        assert len(line) <= WIDTH or is_path or (progress and re.search(r" (epoch|trial) ", line)), line


def require_aligned(lines: list[str], column: int) -> None:
    """Each line has its text in that column."""
    for line in lines:
        assert line[column] != " ", line
        assert line[column - 2 : column] == "  ", line


@pytest.mark.parametrize("line", ["", "short", "  name  text", "a" * 200, f"{'x' * 90} {'y' * 90}"])
def test_fitting_keeps_lines_and_words_that_are_short_or_alone(line: str) -> None:
    assert " ".join(fitting(line)).split() == line.split()
    assert "".join(fitting(line)).startswith(line[:90])


def test_fitting_puts_the_rest_below_the_text() -> None:
    first, second = fitting(f"  some name  {WORDS}")
    assert first.startswith("  some name  one two")
    assert re.match(r" {13}\w", second)
    assert f"{first} {second.strip()}" == f"  some name  {WORDS}"
    assert [len(part) <= WIDTH for part in (first, second)] == [True, True]


def test_fitting_puts_the_rest_below_the_last_of_several_names() -> None:
    _, second, *_ = fitting(f"             {WORDS} {WORDS}")
    assert re.match(r" {13}\w", second)


def test_fitting_breaks_no_line_at_a_fixed_space() -> None:
    text = ", ".join(f"name of a metric 0.{number:04}" for number in range(9)).replace(" ", FIXED_SPACE)
    lines = fitting("  metrics  " + text.replace(f",{FIXED_SPACE}", ", "))
    assert all(FIXED_SPACE not in line for line in lines)
    assert all(line.startswith(("  metrics  name", "           name")) for line in lines)
    assert fitting(f"a{FIXED_SPACE}b") == ["a b"]


def test_lines_of_a_run_and_its_test_fit_and_are_aligned(call: Call, project: Path, scenery: Path) -> None:
    run = call("run", "tiny")
    require_fitting(run.err, progress=True)
    require_fitting(run.out)
    require_aligned([line for line in run.err.splitlines()[1:] if line.startswith("  ")], 13)
    last = run.out.splitlines()
    require_aligned(
        [line for line in last if line.startswith("  ") and not re.match(r"  (class|forest|sea) ", line)], 15
    )
    commands = last[last.index(next(line for line in last if line.startswith("  next"))) :]
    assert len({re.search(r"  (?=\S+( \S+)*$)", line).end() for line in commands}) == 1  # type: ignore[union-attr]
    assert all(line[15:].startswith("harness ") for line in commands)
    (folder,) = (project / "runs/tiny").iterdir()
    test = call("test", folder.name, "--data", scenery, "--allow-leak", "--min-accuracy", "0.1", "--confident")
    require_fitting(test.out)
    assert "PASS: accuracy" in test.out
    assert " >= 10.0 %" in test.out
    require_aligned([line for line in test.out.split("\n\n")[0].splitlines() if line], 13)


def test_lines_of_a_search_fit(call: Call, project: Path) -> None:
    search = call("search", "tiny", "-n", "2", "-s", "epochs=1")
    assert search.code == 0, search.err
    require_fitting(search.out)
    require_fitting(search.err, progress=True)


def test_lines_of_champion_compare_and_predict_fit(
    call: Call, tracked: Tracked, scenery: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracked.run.path
    require_fitting(call("compare", run, run).out)
    image = next(scenery.rglob("*.jpg"))
    predicted = call("predict", run, image)
    assert predicted.code == 0
    require_fitting(predicted.err)
    require_fitting(predicted.out.replace(str(image), image.name))
    promoted = call("champion", "promote", run, "--data", scenery, "--allow-leak", "--min-accuracy", "0.1")
    require_fitting(promoted.out)
    require_fitting(call("champion", "show").out)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict"])
def test_characters_that_stdout_cannot_encode_are_escaped(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "\u732b.py").write_text("experiment = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "harness", "list"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u732b.py" in done.stdout or "\u732b.py".encode() in done.stdout


def test_a_run_of_many_classes_names_ten_and_has_no_two_empty_lines(call: Call, project: Path, undrawn: None) -> None:
    names = [f"class {number:02} with a long name of some words" for number in range(12)]
    for number, name in enumerate(names):
        for part in ("train", "test"):
            (project / "many" / part / name).mkdir(parents=True)
            for image in range(4):
                Image.effect_noise((16, 16), 5 + 9 * number + image).save(
                    project / "many" / part / name / f"{image}.png"
                )
    path = write_experiment(project / "experiments/many.py", project / "many/train", epochs=1, batch_size=16)
    ran = call("run", str(path), "--out", "result")
    assert ran.code == 0, ran.err
    assert "\n\n\n" not in ran.out
    assert ran.err.count("long name") == 10
    assert " and 2 more); training set " in " ".join(ran.err.split())
    tested = call("test", "result", "--data", str(project / "many/test"))
    assert tested.out.count("long name") == 10
    assert "\n\n\n" not in tested.out
    require_fitting(tested.out)
    made = call("new", "manyclasses", "--data", str(project / "many/train"))
    assert made.code == 0, made.err
    require_fitting(made.out)
