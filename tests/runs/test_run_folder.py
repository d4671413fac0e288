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


def test_create_records_the_process_at_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record(seed=3))
    record = json.loads((folder.path / "run.json").read_text())
    assert (record["name"], record["status"], record["seed"]) == ("trial", "running", 3)
    assert (record["pid"], record["host"]) == (os.getpid(), socket.gethostname())
    assert folder.plots.is_dir()
    folder.update(status=Status.FINISHED)
    assert json.loads((folder.path / "run.json").read_text())["status"] == "finished"


def test_create_makes_separate_folders_in_the_same_second(tmp_path: Path) -> None:
    folders = {RunFolder.create(tmp_path, run_record()).path for _ in range(20)}
    assert len(folders) == 20
    assert {folder.path for folder in latest_runs(tmp_path)} == folders


def test_create_gives_each_folder_to_one_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_status_is_died_if_the_process_has_ended(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, run_record("alive"))
    RunFolder.create(tmp_path, run_record("gone")).update(pid=2**22 + 1)
    RunFolder.create(tmp_path, run_record("elsewhere")).update(pid=2**22 + 1, host="another-machine")
    RunFolder.create(tmp_path, run_record("done")).update(pid=2**22 + 1, status=Status.FINISHED)
    (tmp_path / "bad/1").mkdir(parents=True)
    (tmp_path / "bad/1/run.json").write_text("[]")
    statuses = {folder.record.name: folder.status.value for folder in latest_runs(tmp_path)}
    assert statuses == {"alive": "running", "gone": "died", "elsewhere": "running", "done": "finished"}


def test_create_reports_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", run_record())


def test_find_run_by_folder_or_id(tmp_path: Path) -> None:
    made = RunFolder.create(tmp_path / "runs", run_record())
    assert find_run(str(made.path), tmp_path).record == made.record
    assert find_run(made.id, tmp_path / "runs").path == made.path
    assert find_run(made.id[-4:], tmp_path / "runs").path == made.path
    for named, why in ((str(tmp_path), "no run.json"), ("20260101-000000-abcd", "no run id in")):
        with pytest.raises(UsageError, match="is not a run folder") as caught:
            find_run(named, tmp_path / "runs")
        assert why in caught.value.why


@pytest.mark.parametrize("text", ["[]", "{", '{"started": 3}', '{"started": "2026-01-01", "name": 3}', "[" * 100_000])
def test_open_refuses_a_damaged_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        RunFolder.open(tmp_path)


def test_epochs_leaves_out_an_incomplete_last_line(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    assert folder.epochs() == []
    folder.metrics.write_text('{"fold": 1, "epoch": 1, "time": 1.5}\n{"fold": 1, "ep')
    assert folder.epochs() == [{"fold": 1, "epoch": 1, "time": 1.5}]


def test_best_fold_has_the_highest_accuracy_then_the_lowest_loss(tmp_path: Path) -> None:
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


def test_predictions_refuses_a_damaged_file(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    assert len(folder.predictions()) == 0
    (folder.path / "predictions.csv").write_text("path,label\n")
    with pytest.raises(UsageError, match="damaged"):
        folder.predictions()


def test_create_accepts_the_folder_of_a_killed_process(tmp_path: Path) -> None:
    """The process was killed before it wrote to `.again`, or before it created the file."""
    path = tmp_path / "trial-000"
    path.mkdir()
    (path / ".again").write_text("")
    assert RunFolder.create(tmp_path, run_record(), path).record.status is Status.RUNNING
    (path / ".again").unlink()
    with pytest.raises(UsageError, match="cannot be the folder of a run"):
        RunFolder.create(tmp_path, run_record(), path)
    (path / ".beginning").rename(tmp_path / "lock")
    shutil.rmtree(path)
    path.mkdir()
    (tmp_path / "lock").rename(path / ".beginning")
    assert RunFolder.create(tmp_path, run_record(), path).record.status is Status.RUNNING


def test_create_refuses_a_folder_that_another_process_uses(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        folder = RunFolder.create(tmp_path, run_record(), tmp_path / "out")
        folder.update(pid=other.pid, since=None)
        with pytest.raises(UsageError, match=f"process {other.pid} on ") as refused:
            RunFolder.create(tmp_path, run_record(), tmp_path / "out")
        assert "--out" in refused.value.fix
        assert RunFolder.open(folder.path).record == folder.record
        other.communicate(b"\n")
    assert RunFolder.create(tmp_path, run_record(), tmp_path / "out").id != folder.id
