from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.conftest import Outcome

Call = Callable[..., Outcome]


def test_help_lists_all_commands_and_exit_codes(call: Call) -> None:
    outcome = call("--help")
    assert outcome.code == 0
    assert all(f"  {verb} " in outcome.out for verb in ("data", "list", "run"))
    assert "4 data" in outcome.out
    assert call().out == outcome.out
    assert call("run", "-h").code == 0


def test_python_m_harness_runs_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "harness", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("harness, version ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "there is no command 'runn'; did you mean 'run'?"),
        (["run"], "Missing argument 'EXPERIMENT'"),
        (["run", "x", "--flod", "1"], "No such option"),
        (["run", "x", "--fold", "one"], "'one' is not a valid integer"),
        (["run", "x", "--fold", "0"], "0 is not in the range"),
        (["run", "x", "y"], "Got unexpected extra argument"),
        (["data", "demmo"], "No such command 'demmo'"),
        (["--wrong"], "No such option"),
        (["data"], "harness data needs a command"),
    ],
)
def test_mistyped_command_exits_with_2_and_three_lines(arguments: list[str], message: str, call: Call) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert [line.split(":")[0].strip() for line in outcome.err.splitlines()] == ["error", "why", "try"]
    assert message in outcome.err


def test_missing_argument_is_reported(call: Call) -> None:
    assert "why: harness report needs it" in call("report").err


def test_error_in_user_code_is_three_lines_and_debug_shows_the_traceback(
    call: Call, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "experiments/mine.py"
    text = (project / "experiments/tiny.py").read_text()
    path.write_text(text[:-2] + ", augment=broken)\n")
    path.write_text("def broken(image):\n    return image.nothing\n\n" + path.read_text())
    outcome = call("run", "mine")
    assert outcome.code == 2
    assert "error: augment broken failed at experiments/mine.py:2" in outcome.error_lines[0]
    assert "AttributeError" in outcome.error_lines[1]
    assert len(outcome.error_lines) == 3
    assert "Traceback" not in outcome.err
    from harness.cli.main import run_command

    capsys.readouterr()
    assert run_command(["run", "mine"], debug=True) == 2
    assert "Traceback" in capsys.readouterr().err


def test_eof_error_in_user_code_is_not_reported_as_ctrl_c(call: Call, project: Path) -> None:
    text = (project / "experiments/tiny.py").read_text()
    body = "def broken(image):\n    raise EOFError\n\n"
    (project / "experiments/mine.py").write_text(body + text[:-2] + ", augment=broken)\n")
    outcome = call("run", "mine")
    assert outcome.code == 2
    assert "augment broken failed at experiments/mine.py:2" in outcome.err


@pytest.mark.parametrize("error", [KeyError("x"), BrokenPipeError("x")])
def test_run_command_says_where_to_report_an_internal_error(
    error: Exception, call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect: Future[None] = Future()  # raises in the standard library, not in the user's code
    defect.set_exception(error)
    monkeypatch.setattr("harness.workflows.crossval.record_of", defect.result)
    outcome = call("run", "tiny")
    assert outcome.code == 1
    assert "error: internal error at " in outcome.error_lines[0]
    assert "report it on the project's page, under Issues" in outcome.error_lines[2]


def test_experiment_can_import_modules_beside_it(call: Call, project: Path) -> None:
    (project / "experiments/_common_parts.py").write_text("RATE = 0.25\n")
    text = (project / "experiments/tiny.py").read_text()
    (project / "experiments/mine.py").write_text("from _common_parts import RATE\n" + text[:-2] + ", lr=RATE)\n")
    assert '"value": 0.25' in call("run", "mine", "--dry-run", "--json").out
    assert "mine" in call("list").out
    assert "_common_parts" not in call("list").out


def test_closed_stdout_prints_no_error(project: Path) -> None:
    script = "import sys; from harness.cli.main import main; main(['list', '-n', '0'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
