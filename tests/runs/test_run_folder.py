from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StorageError, UsageError
from harness.evaluation.predictions import Predictions
from harness.runs.find import find_run, latest_runs
from harness.runs.record_parts import FoldRecord, SplitSizes, Status
from harness.runs.run_folder import RunFolder
from tests.toy import run_record


def test_a_new_folder_says_at_once_that_it_is_running_where_and_since_when(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record(seed=3))
    record = json.loads((folder.path / "run.json").read_text())
    assert (record["name"], record["status"], record["seed"]) == ("trial", "running", 3)
    assert (record["pid"], record["host"]) == (os.getpid(), socket.gethostname())
    assert folder.plots.is_dir()
    folder.update(status=Status.FINISHED)
    assert json.loads((folder.path / "run.json").read_text())["status"] == "finished"


def test_two_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = {RunFolder.create(tmp_path, run_record()).path for _ in range(20)}
    assert len(folders) == 20
    assert {folder.path for folder in latest_runs(tmp_path)} == folders


def test_create_gives_a_folder_to_one_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["a", "a", "b"])
    monkeypatch.setattr("harness.runs.place.new_id", lambda: next(drawn))
    assert [RunFolder.create(tmp_path, run_record()).id for _ in range(2)] == ["a", "b"]


def test_write_predictions_keeps_each_fold_and_a_table_of_all(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    parts = []
    for fold in (1, 2):
        paths = tuple(f"sea/{fold}{i}.jpg" for i in range(3))
        shares = np.full((3, 2), (0.25, 0.75))
        parts.append(Predictions(("forest", "sea"), paths, np.full(3, fold), np.ones(3, int), shares))
        folder.write_predictions(parts[-1])
        assert len((folder.path / "predictions.csv").read_text().splitlines()) == 1 + 3 * fold
        for reader in (folder, RunFolder.open(folder.path)):
            assert reader.predictions() == Predictions.join(parts)
    assert sorted(path.name for path in (folder.path / "predictions").iterdir()) == ["fold1.npz", "fold2.npz"]


def test_runs_whose_process_is_gone_have_died_and_others_are_left_alone(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, run_record("alive"))
    RunFolder.create(tmp_path, run_record("gone")).update(pid=2**22 + 1)
    RunFolder.create(tmp_path, run_record("elsewhere")).update(pid=2**22 + 1, host="another-machine")
    RunFolder.create(tmp_path, run_record("done")).update(pid=2**22 + 1, status=Status.FINISHED)
    (tmp_path / "bad/1").mkdir(parents=True)
    (tmp_path / "bad/1/run.json").write_text("[]")
    statuses = {folder.record.name: folder.status.value for folder in latest_runs(tmp_path)}
    assert statuses == {"alive": "running", "gone": "died", "elsewhere": "running", "done": "finished"}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", run_record())


def test_a_run_is_found_by_its_folder_or_by_its_id(tmp_path: Path) -> None:
    made = RunFolder.create(tmp_path / "runs", run_record())
    assert find_run(str(made.path), tmp_path).record == made.record
    assert find_run(made.id, tmp_path / "runs").path == made.path
    assert find_run(made.id[-4:], tmp_path / "runs").path == made.path
    for named, why in ((str(tmp_path), "no run.json"), ("20260101-000000-abcd", "no run in")):
        with pytest.raises(UsageError, match="is no run folder") as caught:
            find_run(named, tmp_path / "runs")
        assert why in caught.value.why


@pytest.mark.parametrize("text", ["[]", "{", '{"started": 3}', '{"started": "2026-01-01", "name": 3}', "[" * 100_000])
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        RunFolder.open(tmp_path)


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    assert folder.epochs() == []
    folder.metrics.write_text('{"fold": 1, "epoch": 1, "time": 1.5}\n{"fold": 1, "ep')
    assert folder.epochs() == [{"fold": 1, "epoch": 1, "time": 1.5}]


def test_the_best_fold_is_the_most_accurate_and_of_equal_ones_that_of_the_lower_loss(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    assert folder.best_fold() is None
    numbers = [(0.8, 0.1), (0.9, 0.4), (0.9, 0.3)]
    same = {"n": 1, "epoch": 1, "epochs": 1, "stop_reason": None, "checkpoint": "best.pt", "seconds": 1.0}
    folds = [FoldRecord(fold=i, accuracy=a, loss=loss, **same) for i, (a, loss) in enumerate(numbers, 1)]
    splits = {str(i): SplitSizes(1, 1) for i in (1, 2, 3)}
    folder.update(folds=folds, splits=splits, accuracy=0.9, n=3, interval=[0.1, 1.0], fit_seconds=1.0)
    best = folder.best_fold()
    assert best is not None
    assert best.fold == 3


def test_damaged_predictions(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    assert len(folder.predictions()) == 0
    (folder.path / "predictions.csv").write_text("path,label\n")
    with pytest.raises(UsageError, match="damaged"):
        folder.predictions()


def test_create_takes_a_folder_that_a_killed_process_began(tmp_path: Path) -> None:
    """Between creating `.again` and writing to it, and before anything else."""
    path = tmp_path / "trial-000"
    path.mkdir()
    (path / ".again").write_text("")
    assert RunFolder.create(tmp_path, run_record(), path).record.status is Status.RUNNING
    (path / ".again").unlink()
    with pytest.raises(UsageError, match="no place for a run"):
        RunFolder.create(tmp_path, run_record(), path)
    (path / ".beginning").rename(tmp_path / "lock")
    shutil.rmtree(path)
    path.mkdir()
    (tmp_path / "lock").rename(path / ".beginning")
    assert RunFolder.create(tmp_path, run_record(), path).record.status is Status.RUNNING


def test_create_takes_no_folder_that_another_process_writes_to(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        folder = RunFolder.create(tmp_path, run_record(), tmp_path / "out")
        folder.update(pid=other.pid, since=None)
        with pytest.raises(UsageError, match=f"process {other.pid} on ") as refused:
            RunFolder.create(tmp_path, run_record(), tmp_path / "out")
        assert "--out" in refused.value.fix
        assert RunFolder.open(folder.path).record == folder.record
        other.communicate(b"\n")
    assert RunFolder.create(tmp_path, run_record(), tmp_path / "out").id != folder.id
