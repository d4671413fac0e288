"""`console.log` of real commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from tests.conftest import Outcome, Tracked, write_experiment

Call = Callable[..., Outcome]

DIES = """
import os, signal
from harness.engine.trainer import Callback

class Dies(Callback):
    def on_epoch_end(self, state):
        print("printed by a callback")
        number = int(os.environ.get("SIGNAL", "0"))
        if number and state.epoch == 3:
            os.kill(os.getpid(), number)

"""


def only_log(project: Path, pattern: str = "runs/tiny/2*/console.log") -> str:
    (path,) = project.glob(pattern)
    return path.read_text(encoding="utf-8")


def test_console_log_of_a_run_has_what_was_printed(call: Call, project: Path) -> None:
    outcome = call("run", "tiny")
    title, _, rest = only_log(project).partition("\n")
    assert title.endswith("  harness run tiny")
    assert rest == outcome.err.replace(outcome.out, "") + outcome.out
    assert "epoch 1/2" in rest
    assert "run folder" in rest


def test_console_log_has_the_json_object_too(call: Call, project: Path) -> None:
    outcome = call("run", "tiny", "--json")
    assert only_log(project).splitlines()[-1] == outcome.out.strip()
    assert json.loads(outcome.out)["status"] == "finished"


def test_console_log_of_a_test_has_its_gate(call: Call, project: Path, scenery: Path) -> None:
    call("run", "tiny")
    (run,) = (project / "runs/tiny").iterdir()
    outcome = call("test", run.name, "--data", scenery, "--allow-leak", "--min-accuracy", "1")
    (path,) = [path for path in project.glob("runs/tiny/2*/console.log") if path.parent != run]
    assert path.read_text().endswith(outcome.out + outcome.err[outcome.err.index("error: ") :])
    assert "FAIL: " in path.read_text()


def test_console_log_of_a_run_on_the_command_line_hides_passwords(call: Call, project: Path) -> None:
    call("search", "tiny", "-n", "1", "--storage", "sqlite:///a.db?pass" + "word=hunter22")
    assert "hunter22" not in "".join(path.read_text() for path in project.glob("runs/**/console*.log"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_console_log_survives_a_signal_and_resume_appends(
    project: Path, scenery: Path, number: int, call: Call
) -> None:
    path = write_experiment(project / "experiments/tiny.py", scenery, epochs=3)
    path.write_text(DIES + path.read_text().replace("Experiment(", "Experiment(callbacks=[Dies()], "))
    command = [sys.executable, "-m", "harness", "run", "tiny"]
    done = subprocess.run(command, env={**os.environ, "SIGNAL": str(int(number))}, capture_output=True, text=True)
    assert done.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    first = only_log(project)
    assert "epoch 2/3" in first
    assert "printed by a callback" in first
    assert ("error: " in first) == (number != signal.SIGKILL)
    (run,) = (project / "runs/tiny").iterdir()
    assert call("resume", run.name).code == 0
    whole = only_log(project)
    assert whole.startswith(first)
    assert whole[len(first) :].lstrip("\n").split("\n")[0].endswith(f"  harness resume {run.name}")
    assert "epoch 3/3" in whole[len(first) :]


def test_console_log_of_a_search_is_in_the_study(studied: Tracked) -> None:
    (path,) = studied.project.glob("runs/*/study-*/console.log")
    assert "  harness search " in path.read_text().split("\n")[0]
    assert not [*studied.project.glob("runs/*/study-*/trial-*/console*.log")]


@pytest.mark.slow
def test_console_log_of_each_worker_is_a_file(call: Call, project: Path) -> None:
    command = [sys.executable, "-m", "harness", "search", "tiny", "-n", "2", "--workers", "2"]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name for path in project.glob("runs/tiny/study-tiny/console*")} == {
        "console.log",
        "console-worker-1.log",
        "console-worker-2.log",
    }


def test_console_log_of_a_run_in_python(project: Path) -> None:
    run = harness.run("tiny", fold=1)
    title, *rest = (run.path / "console.log").read_text().splitlines()
    assert title.endswith("  harness.run")
    assert any("epoch 2/2" in line for line in rest)
