"""A study that is killed at any time continues, and has the same result as without that."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runs.run_folder import RunFolder
from harness.tuning.storage import open_storage
from tests.conftest import Outcome, write_experiment
from tests.workflows.test_resume import require_same

# One process imports all; each search is a fork of it, because importing torch takes longer than this study.
DRIVER = """
import os, signal, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
import torch, torchvision, sklearn.model_selection, optuna, matplotlib.figure
from harness.engine.callbacks import fit_checkpoint
import harness.tuning.prepare, harness.tuning.trial_loop, harness.tuning.report, harness.plots.study
from harness.cli.main import run_command

fit_checkpoint.PAUSE_SECONDS = 0.05  # so that trials go on within their folds

def lines():
    return len(open("optuna.journal").readlines()) if os.path.exists("optuna.journal") else 0

os.chdir(sys.argv[1])
for kill in [*sys.argv[2:], None]:
    pid = os.fork()
    if pid == 0:
        out = os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1), os.dup2(out, 2)
        os._exit(run_command(["search", "tiny", "--trials", "8", "--keep", "1"]))
    if kill is not None:
        wait_for, milliseconds = map(int, kill.split(","))
        wait_for += lines()
        while lines() < wait_for:
            time.sleep(0.001)
        time.sleep(milliseconds / 1000)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status), flush=True)
"""


def search(folder: Path, scenery: Path, kills: list[tuple[int, int]]) -> list[str]:
    """Kills a study several times, then lets it finish. Returns how each attempt ended.

    Each kill comes a number of milliseconds after the storage has a number of new entries.
    """
    (folder / "experiments").mkdir(parents=True)
    write_experiment(folder / "experiments/tiny.py", scenery, epochs=3, folds=4, lr=0.01)
    command = [sys.executable, "-c", DRIVER, str(folder), *(f"{lines},{late}" for lines, late in kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """The parts of each trial that must be equal."""
    record = json.loads((folder / "runs/tiny/study-tiny/study.json").read_text())
    names = ("trial", "state", "value", "accuracy", "n", "folds", "changes")
    return [{name: trial[name] for name in names} for trial in record["result"]["trials"]]


def test_an_interrupted_trial_continues_within_its_fold(project: Path, call: Callable[..., Outcome]) -> None:
    file = project / "experiments/tiny.py"
    text = file.read_text().replace("Experiment(", "Experiment(callbacks=[Interrupted('train 2 1')], ")
    file.write_text(f"from tests.workflows.test_resume import Interrupted\n{text}")
    whole = call("search", "tiny", "--trials", "2", "--study", "whole", "--json")
    assert whole.code == 0
    Path("cut").touch()
    assert call("search", "tiny", "--trials", "2", "--study", "cut").code == 130
    trial = project / "runs/tiny/study-cut/trial-000"
    assert RunFolder.open(trial).unfinished.is_file()
    assert call("search", "tiny", "--trials", "2", "--study", "cut", "--json").code == 0
    require_same(trial, project / "runs/tiny/study-whole/trial-000")
    (resume,) = RunFolder.open(trial).record.resumes
    assert resume.progress is not None
    assert (resume.progress.fold, resume.progress.epoch) == (1, 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no kill -9")
def test_a_study_killed_ten_times_ends_like_an_uninterrupted_one(scenery: Path, tmp_path: Path) -> None:
    assert search(tmp_path / "whole", scenery, []) == ["0"]
    rng = random.Random(0)
    kills = [(rng.randint(4, 32), rng.randint(0, 60)) for _ in range(10)]
    ends = search(tmp_path / "killed", scenery, kills)
    assert ends == [*["9"] * 10, "0"]
    assert trials_of(tmp_path / "killed") == trials_of(tmp_path / "whole")
    storage = open_storage(str(tmp_path / "killed/optuna.journal"))
    states = [trial.state.name for trial in storage.get_all_trials(storage.get_study_id_from_name("tiny"))]
    assert {*states} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert states.count("COMPLETE") + states.count("PRUNED") == 8
