from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome

Call = Callable[..., Outcome]


def test_help_names_every_verb_and_the_exit_codes(call: Call) -> None:
    outcome = call("--help")
    assert outcome.code == 0
    assert all(f"  {verb} " in outcome.out for verb in ("data", "list", "run"))
    assert "3 gate not met" in outcome.out
    assert call().out == outcome.out
    assert call("run", "-h").code == 0


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "harness", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("harness, version ")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["runn"], "there is no command 'runn'; did you mean 'run'?"),
        (["run"], "Missing argument 'EXPERIMENT'"),
        (["run", "x", "--flod", "1"], "No such option"),
        (["run", "x", "--fold", "one"], "'one' is not a valid integer"),
        (["run", "x", "--fold", "0"], "0 is not in the range"),
        (["run", "x", "y"], "Got unexpected extra argument"),
        (["data", "demmo"], "No such command 'demmo'"),
        (["--wrong"], "No such option"),
    ],
)
def test_a_mistyped_command_is_three_lines_and_exit_code_2(arguments: list[str], what: str, call: Call) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert [line.split(":")[0].strip() for line in outcome.err.splitlines()] == ["error", "why", "try"]
    assert what in outcome.err


def test_code_of_the_users_that_fails_is_three_lines_and_debug_shows_all(call: Call, project: Path) -> None:
    path = project / "experiments/mine.py"
    text = (project / "experiments/tiny.py").read_text()
    path.write_text(text[:-2] + ", augment=broken)\n")
    path.write_text("def broken(image):\n    return image.nothing\n\n" + path.read_text())
    outcome = call("run", "mine")
    assert outcome.code == 1
    assert "error: code of yours failed at experiments/mine.py:2" in outcome.error_lines[0]
    assert "AttributeError" in outcome.error_lines[1]
    assert len(outcome.error_lines) == 3
    assert "Traceback" not in outcome.err
    from harness.cli.main import run_command

    assert run_command(["run", "mine"], debug=True) == 1


def test_a_reader_that_leaves_is_told_nothing(project: Path) -> None:
    script = "import sys; from harness.cli.main import main; main(['list', '-n', '0'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
