from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.evaluate import Prediction
from harness.trackers.run_folder import RunFolder, latest_runs


def test_a_new_folder_says_at_once_that_it_is_running_where_and_since_when(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "trial", {"seed": 3})
    record = json.loads((folder.path / "run.json").read_text())
    assert (record["name"], record["status"], record["seed"]) == ("trial", "running", 3)
    assert (record["pid"], record["host"]) == (os.getpid(), socket.gethostname())
    assert folder.checkpoints.is_dir()
    folder.update(status="finished")
    assert json.loads((folder.path / "run.json").read_text())["status"] == "finished"


def test_two_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = {RunFolder.create(tmp_path, "trial", {}).path for _ in range(20)}
    assert len(folders) == 20
    assert {path for path, _ in latest_runs(tmp_path)} == folders


def test_predictions_are_written_whole_each_time(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "trial", {})
    rows = [Prediction(f"sea/{i}.jpg", 1, "sea", "forest", (0.5, 0.5)) for i in range(3)]
    for count in (1, 3):
        folder.write_predictions(rows[:count], ["forest", "sea"])
        assert len((folder.path / "predictions.csv").read_text().splitlines()) == 1 + count


def test_runs_whose_process_is_gone_have_died_and_others_are_left_alone(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "alive", {})
    RunFolder.create(tmp_path, "gone", {}).update(pid=2**22 + 1)
    RunFolder.create(tmp_path, "elsewhere", {}).update(pid=2**22 + 1, host="another-machine")
    RunFolder.create(tmp_path, "done", {}).update(pid=2**22 + 1, status="finished")
    (tmp_path / "bad/1").mkdir(parents=True)
    (tmp_path / "bad/1/run.json").write_text("[]")
    found = {record["name"]: record["status"] for _, record in latest_runs(tmp_path)}
    assert found == {"alive": "running", "gone": "died", "elsewhere": "running", "done": "finished"}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", "trial", {})
