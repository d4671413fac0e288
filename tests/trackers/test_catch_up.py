from __future__ import annotations

import shutil
from pathlib import Path

from harness.runs.run_folder import RunFolder
from harness.trackers.catch_up import catch_up, start_catching_up
from harness.trackers.mlflow.database import never
from harness.util.locks import locked
from tests.conftest import Tracked
from tests.trackers.test_mlflow import copy_of


def test_catch_up_sends_all_unless_another_process_is_sending(tracked: Tracked, store: Path) -> None:
    folder, runs = copy_of(tracked, store, trackers={}), store / "runs"
    broken = runs / "tiny/20200101-000000-0000"
    shutil.copytree(folder.path, broken)
    RunFolder.open(broken).update(id=broken.name)
    (broken / "metrics.jsonl").write_text('{"fold": 9}\n')
    with locked(runs / ".sending"):
        catch_up(runs, never)
    assert RunFolder.open(folder.path).record.trackers == {}
    (problem,) = catch_up(runs, never)  # it ends, although one run cannot be sent
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": "complete"}
    recorded = RunFolder.open(broken).record.trackers["mlflow"]
    assert "damaged: line 1" in recorded
    assert problem.endswith(recorded)


def test_start_catching_up_starts_nothing_if_nothing_is_unsent(tracked: Tracked, store: Path) -> None:
    copy_of(tracked, store, trackers={"mlflow": "complete"})
    assert start_catching_up(store / "runs") == 0
