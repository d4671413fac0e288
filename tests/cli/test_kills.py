"""kill -9 at random moments: all files stay complete, and resume gives the same bits, also in both trackers."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.engine.fit_file import read_fit
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.store import connect
from tests.conftest import write_experiment
from tests.workflows.test_resume import require_same

PAUSE = 0.3  # seconds between two saved states; short, because the run is short
KILLS = 20
LONGEST = 3.4  # seconds after the start; the whole run takes about this long
# One process imports everything, and each run is a fork of it, because importing torch takes longer than a run.
DRIVER = f"""
import os, signal, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
import torch, torchvision, sklearn.model_selection, matplotlib.figure, torch.utils.tensorboard
from harness.engine.callbacks import fit_checkpoint
import harness.workflows.crossval, harness.workflows.resume, harness.trackers.recording, harness.plots.predictions
from harness.cli.main import run_command

fit_checkpoint.PAUSE_SECONDS, fit_checkpoint.REST = {PAUSE}, 0.0
for line in sys.stdin:
    folder, seconds, group, *command = line.split()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(folder)
        out = os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1), os.dup2(out, 2)
        os._exit(run_command(command))
    if float(seconds):
        time.sleep(float(seconds))
        try:
            (os.killpg if group == "group" else os.kill)(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    _, status = os.waitpid(pid, 0)
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


class Driver:
    """Runs `harness ...` in a folder, and kills it after `kill_after` seconds (0: never)."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", DRIVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, folder: Path, *command: str, kill_after: float = 0.0, group: bool = False) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = [str(folder), str(kill_after), "group" if group else "process", *command]
        self._process.stdin.write(" ".join(line) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Kill:
    """One kill, and the training time that it lost."""

    after: float
    group: bool
    code: int
    left: str  # how far the run was
    lost: float  # seconds of training that the saved state does not cover
    went_on: int  # the exit code of resume


def lost_seconds(folder: RunFolder) -> float:
    """Seconds from the last epoch in the saved state to the last epoch that ended."""
    rows = [row for row in folder.epochs() if row["fold"] not in {entry.fold for entry in folder.record.folds}]
    if not rows:
        return 0.0
    covered = 0
    if folder.unfinished.exists():
        fit = read_fit(folder.unfinished)["fit"]
        covered = fit["epoch"] if fit["row"] is None else fit["epoch"] - 1
    began = rows[0]["time"] - rows[0]["train_seconds"] - rows[0]["valid_seconds"]
    return float(rows[-1]["time"] - max([began, *(row["time"] for row in rows if row["epoch"] <= covered)]))


def require_whole(folder: RunFolder) -> None:
    """Requires that all files of a run are complete."""
    json.loads((folder.path / "run.json").read_text())
    folder.predictions()
    folder.epochs()
    for path in folder.path.glob("checkpoints/*.pt"):
        if path.name == "unfinished.pt":
            read_fit(path)
    for path in {each.parent for each in folder.path.rglob("events.out.tfevents.*")}:
        EventAccumulator(str(path)).Reload()


def processes_in(folder: Path) -> list[int]:
    """Ids of the processes whose current folder is `folder`."""
    running = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder:
                running.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return running


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no kill -9")
def test_resume_continues_a_run_killed_at_twenty_random_moments(
    scenery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver, rng, kills = Driver(), random.Random(0), []

    def project(name: str) -> Path:
        home = tmp_path / name
        (home / "experiments").mkdir(parents=True)
        fields: dict[str, Any] = {"epochs": 60, "scheduler": "onecycle", "trackers": ("tensorboard", "mlflow")}
        write_experiment(home / "experiments/tiny.py", scenery, **fields)
        return home

    try:
        whole = project("whole")
        assert driver.run(whole, "run", "tiny") == 0
        (reference,) = whole.glob("runs/tiny/*/run.json")
        for number in range(KILLS):
            home, after, group = project(f"kill{number}"), rng.uniform(0.1, LONGEST), number % 2 == 0
            code = driver.run(home, "run", "tiny", kill_after=after, group=group)
            found = [*home.glob("runs/tiny/*/run.json")]
            left, lost = "no folder yet", 0.0
            if found:
                folder = RunFolder.open(found[0].parent)
                require_whole(folder)
                assert folder.status in (Status.DIED, Status.FINISHED)
                lost = lost_seconds(folder)
                progress = folder.record.progress
                left = f"{folder.status}, {len(folder.record.folds)} folds, {progress and progress.epoch} epochs saved"
            went_on = driver.run(home, "run", "tiny", "--resume")
            kills.append(Kill(after, group, code, left, lost, went_on))
            (path,) = {each.parent for each in home.glob("runs/tiny/*/run.json")} - (
                {found[0].parent} if found and left.startswith("finished") else set()
            )
            require_same(path, reference.parent)
            require_both_trackers(home, RunFolder.open(path))
    finally:
        driver.close()
        with capsys.disabled():
            print("\nkilled after   process or group   left                                       lost    then")
            for kill in kills:
                what = "group" if kill.group else "process"
                print(f"{kill.after:8.2f} s     {what:<18} {kill.left:<40} {kill.lost:6.2f} s  {kill.went_on}")
    assert {kill.went_on for kill in kills} == {0}
    assert max(kill.lost for kill in kills) < PAUSE + 2.0


def require_both_trackers(home: Path, folder: RunFolder) -> None:
    """Requires one finished run, each step once in TensorBoard and MLflow, and no running process."""
    deadline = time.monotonic() + 90
    while processes_in(home):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.2)
    folder.reload()
    assert folder.record.trackers == {"tensorboard": "complete", "mlflow": "complete"}
    for side in folder.path.glob("fold*/valid"):
        events = EventAccumulator(str(side), size_guidance={"scalars": 0})
        events.Reload()
        assert [event.step for event in events.Scalars("loss")] == [*range(1, 61)]
    client = connect(f"sqlite:///{home / 'mlflow.db'}")
    runs = [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]
    own = [run for run in runs if run.data.tags.get("harness.run") == folder.id]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert Counter(run.data.tags["harness.role"] for run in own) == {"run": 1, "fold": 2}
    for run in own:
        if run.data.tags["harness.role"] == "fold":
            history = client.get_metric_history(run.info.run_id, "valid_loss")
            assert sorted(metric.step for metric in history) == [*range(1, 61)]
