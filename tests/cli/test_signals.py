"""Whole commands that receive a signal. The rules for signals are tested in tests/util/test_signals.py."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil
import pytest

from harness.cli.main import VERBS, harness
from harness.cli.stopped import WHAT_IS_KEPT, stop_text
from harness.util import signals
from tests.conftest import Outcome, Tracked, wait, write_experiment, write_tracked_experiment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
SECONDS = 7.0  # 4 until the end, up to 1 for the message, and the rest for a busy test machine
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def test_what_is_kept_names_only_existing_commands() -> None:
    context = click.Context(harness)
    commands = {name: harness.get_command(context, name) for name in VERBS}
    groups = {name: list(each.commands) for name, each in commands.items() if isinstance(each, click.Group)}
    assert {*WHAT_IS_KEPT} <= {*VERBS, *(f"{name} {part}" for name, parts in groups.items() for part in parts)}


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (["compare", "a", "b"], ["nothing was changed", "harness compare a b"]),
        (["doctor"], ["nothing was changed", "harness doctor"]),
        (["champion", "promote", "a"], ["the champion has not changed", "harness champion promote a"]),
        (["data", "pull"], ["fetched files are kept, and are not fetched again", "harness data pull"]),
        (["--debug", "run", "x", "-s", "lr=1"], ["nothing was trained yet", "harness --debug run x -s lr=1"]),
    ],
)
def test_stop_text_fits_the_command(typed: list[str], lines: list[str]) -> None:
    signals.begin()  # forgets the advice that another test has set
    expected = ["error: ended by SIGHUP", f"  why: {lines[0]}", f"  try: {lines[1]}"]
    assert stop_text(signal.SIGHUP, typed).split("\n") == expected


def test_stop_text_of_a_worker_is_empty() -> None:
    assert stop_text(signal.SIGTERM, ["search", "x", "--workers", "2", "--worker"]) == ""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_run_command_returns_the_signals_code(name: str, call: Callable[..., Outcome], project: Path) -> None:
    number = getattr(signal, name)
    stop = "KeyboardInterrupt" if name == "SIGINT" else f"Terminated({number:d})"
    (project / "experiments/stopped.py").write_text(f"from harness.errors import Terminated\nraise {stop}\n")
    outcome = call("run", "stopped")
    assert outcome.code == CODES[number]
    assert outcome.error_lines[1:] == ["  why: nothing was trained yet", "  try: harness run stopped"]
    assert not (project / "runs").exists()


# A Ctrl-C while pydantic built its validators became a schema error, and the command printed that error
@pytest.mark.parametrize("error", ["ValueError('built no validator')", "DataError('git has failed', 'a signal', 'x')"])
def test_error_caused_by_a_signal_is_reported_as_the_signal(error: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(f"""
import os, signal
from harness.errors import DataError
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt as stop:
    raise {error} from stop
""")
    command = [sys.executable, "-m", "harness", "run", "x.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        "error: interrupted by Ctrl-C",
        "  why: nothing was trained yet",
        "  try: harness run x.py",
    ]


def test_slurm_script_forwards_the_signal_and_requeues(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/stopping.md").read_text()
    (script,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    (tmp_path / "job").write_text(script)
    trained = (
        "import sys, time\nfrom harness.util import signals\nfrom harness.errors import Terminated\nsignals.handle()\n"
    )
    trained += (
        "try:\n    open('began', 'w').close()\n    time.sleep(30)\nexcept Terminated as stop:\n    time.sleep(0.2)\n"
    )
    trained += "    open('saved', 'w').close()\n    sys.exit(stop.exit_code)\n"
    for name, text in {
        "harness": f'#!/bin/bash\necho "$@" > typed\n[ -e mistake ] && exit 2\nexec {sys.executable} train.py\n',
        "scontrol": '#!/bin/bash\n[ -e saved ] && echo "$@" > requeued\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "train.py").write_text(trained)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    job = subprocess.Popen(["bash", "job"], cwd=tmp_path, env=environment)
    wait(lambda: (tmp_path / "began").exists())
    job.send_signal(signal.SIGTERM)
    assert job.wait(10) == 143
    assert (tmp_path / "typed").read_text() == "run sea_forest --resume\n"
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"
    (tmp_path / "requeued").unlink()
    (tmp_path / "mistake").touch()
    assert subprocess.run(["bash", "job"], cwd=tmp_path, env=environment).returncode == 2
    assert not (tmp_path / "requeued").exists()


@dataclasses.dataclass
class Command:
    """A command in a separate process group, as a terminal starts it."""

    process: subprocess.Popen[bytes]
    project: Path

    @property
    def err(self) -> str:
        return (self.project / "err.txt").read_text(errors="replace")

    def records(self) -> list[dict[str, object]]:
        """The records of all runs. Fails if a record is incomplete."""
        return [json.loads(path.read_text()) for path in self.project.glob("runs/*/*/run.json")]

    def epochs(self) -> int:
        return sum(len(path.read_text().splitlines()) for path in self.project.glob("runs/*/**/metrics.jsonl"))

    def stop(self, *numbers: int) -> float:
        """Sends signals 0.7 s apart to the process group, but SIGTERM to the process. Returns seconds to its end."""
        began = time.monotonic()
        for number in numbers:
            if number == signal.SIGTERM:
                self.process.send_signal(number)
            else:
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.7)
        self.process.wait(60)
        return time.monotonic() - began

    def left(self) -> list[psutil.Process]:
        """Processes of its group that still run, without the process that sends to MLflow."""
        running = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get("TEST_PROJECT") == str(self.project)
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    running.append(process)
        return [process for process in running if "follow" not in " ".join(process.cmdline() or [])]


@contextlib.contextmanager
def started(project: Path, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[Command]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment |= {"OMP_NUM_THREADS": "1", "TEST_PROJECT": str(project)}
    with (project / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "harness", *arguments],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )
    command = Command(process, project)
    try:
        yield command
    finally:
        process.kill()
        for each in command.left():
            each.kill()


@pytest.fixture
def long(tmp_path: Path, new_database: Path, scenery: Path) -> Path:
    """A project whose experiment `tiny` trains for a long time, with both trackers."""
    write_tracked_experiment(tmp_path, new_database, scenery, epochs=3000)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT,), (signal.SIGINT,) * 2])
@pytest.mark.parametrize("loaders", [False, True])
def test_run_stops_in_time_and_prints_one_message(numbers: tuple[int, ...], loaders: bool, long: Path) -> None:
    with started(long, "run", "tiny", *(["-s", "workers=2", "-s", "augment=flip"] if loaders else [])) as command:
        wait(lambda: command.epochs() > 2, 60)
        seconds = command.stop(*numbers)
        assert seconds < (SECONDS if len(numbers) == 1 else 2)
        assert command.process.returncode == CODES[signal.Signals(numbers[0])]
        assert command.err.count("error: ") == 1
        assert "Traceback" not in command.err
        assert re.search(r"  try: harness resume [\w-]+\n", command.err)
        (record,) = command.records()
        assert (
            record["status"] == "interrupted" if len(numbers) == 1 else record["status"] in ("interrupted", "running")
        )
        wait(lambda: not command.left(), 6)
        assert list(long.rglob(".run.json-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_search_workers_stop_in_time_and_print_one_message(number: int, long: Path) -> None:
    with started(long, "search", "tiny", "--trials", "4", "--workers", "2") as command:
        wait(lambda: command.epochs() > 4, 60)
        assert command.stop(number) < SECONDS
        assert command.process.returncode == CODES[signal.Signals(number)]
        assert command.err.count("error: ") == 1
        assert "  try: harness search tiny --trials 4 --workers 2\n" in command.err
        wait(lambda: not command.left(), 6)


# Lightning-AI/pytorch-lightning#11924: Ctrl-C ended only the waiting call, and the script continued
@pytest.mark.slow
def test_champion_promote_stopped_by_ctrl_c_changes_nothing(tmp_path: Path, tracked: Tracked, scenery: Path) -> None:
    project = shutil.copytree(tracked.project, tmp_path / "project")
    asked = ["champion", "promote", tracked.run.id, "--data", str(scenery), "--no-refit", "--force"]
    with started(project, *asked) as command:
        wait(lambda: len([each for each in command.records() if each["status"] == "finished"]) == 2, 60)
        assert command.stop(signal.SIGINT) < SECONDS
        assert command.process.returncode == 130
        assert "  why: the champion has not changed\n" in command.err
        assert not (project / "models").exists()


# treeverse/dvc#2272, gem/oq-engine#4027: a new handler would replace the one that nohup, or `command &`, has set
@pytest.mark.slow
def test_run_under_nohup_continues_after_sighup(tmp_path: Path, scenery: Path) -> None:
    (tmp_path / "experiments").mkdir()
    write_experiment(tmp_path / "experiments/tiny.py", scenery, epochs=30, trackers=["tensorboard"], workers=1)
    with started(tmp_path, "run", "tiny", before=("nohup",)) as command:
        wait(lambda: command.epochs() > 2, 60)
        for _ in range(2):
            os.killpg(command.process.pid, signal.SIGHUP)
            time.sleep(0.7)
        assert command.process.wait(60) == 0
        (record,) = command.records()
        assert record["status"] == "finished"
