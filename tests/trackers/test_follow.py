from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.runs.record_parts import ProgressRecord, Status
from harness.runs.run_folder import RunFolder
from harness.trackers import follow as following
from harness.trackers.follower import INTERRUPTED_SECONDS, Follower, leave_rest
from harness.trackers.mlflow import store as stores
from harness.util.processes import this_process
from tests.conftest import Tracked, wait
from tests.trackers.test_mlflow import copy_of, runs
from tests.trackers.test_store import unused_address


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.05)


@contextmanager
def followed(path: Path) -> Iterator[tuple[list[str], Callable[[], bool]]]:
    """Runs `follow` in a thread, on this folder. Yields its printed lines and a function that ends it."""
    lines: list[str] = []
    ended = threading.Event()
    answer: list[bool] = []
    thread = threading.Thread(
        target=lambda: answer.append(following.follow(RunFolder.open(path), ended, lines.append)), daemon=True
    )
    thread.start()

    def end() -> bool:
        ended.set()
        thread.join(60)
        return answer[0]

    yield lines, end
    ended.set()


def children(uri: str) -> list[str]:
    client = stores.connect(uri)
    if client.get_experiment_by_name("tiny") is None:
        return []
    all_runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    return [run.info.status for run in all_runs if "mlflow.parentRunId" in run.data.tags]


def test_follow_sends_each_epoch_and_then_the_end(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None, **this_process())
    rows = tracked.run.metrics.read_text().splitlines(keepends=True)
    uri = stores.tracking_uri()
    with followed(folder.path) as (lines, end):
        wait(lambda: children(uri) == ["RUNNING"])
        with folder.metrics.open("a") as file:
            file.write(rows[1])
        folder.update(progress=ProgressRecord(fold=1, epoch=2))
        client = stores.connect(uri)
        (child,) = runs(client)[1]
        wait(lambda: len(client.get_metric_history(child.info.run_id, "valid_loss")) == 2)
        folder.update(status=Status.INTERRUPTED, error="KeyboardInterrupt")
        assert end() is True
    assert lines == []
    assert children(uri) == ["KILLED"]
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": "complete"}


def test_follow_stops_if_another_process_resumed_the_run(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None, **this_process())
    with followed(folder.path) as (lines, end):
        wait(lambda: children(stores.tracking_uri()) == ["RUNNING"])
        folder.update(pid=folder.record.pid + 1)
        assert end() is False
    assert lines == []
    assert children(stores.tracking_uri()) == ["RUNNING"]
    assert RunFolder.open(folder.path).record.trackers == {}


@pytest.mark.slow  # a process that imports MLflow and torch
def test_follower_of_an_interrupted_run_sends_and_records_the_rest_in_the_background(
    tracked: Tracked, store: Path
) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None, **this_process())
    follower = Follower()
    follower.begin(folder)
    folder.update(status=Status.INTERRUPTED, error="KeyboardInterrupt")
    folder.record_trackers({"tensorboard": "complete"})
    started = time.monotonic()
    leave_rest(follower, folder, interrupted=True)
    assert time.monotonic() - started < INTERRUPTED_SECONDS + 1
    wait(lambda: RunFolder.open(folder.path).record.trackers["mlflow"] == "complete", 60)
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": "complete", "tensorboard": "complete"}
    assert children(stores.tracking_uri()) == ["KILLED"]
    follower._process.wait(30)


@pytest.mark.slow
def test_follow_does_not_wait_for_earlier_unsent_runs(tracked: Tracked, store: Path) -> None:
    last = copy_of(tracked, store, trackers={})
    earlier = [store / f"runs/tiny/20200101-000000-000{i}" for i in range(2)]
    for path in earlier:
        shutil.copytree(last.path, path)
        RunFolder.open(path).update(id=path.name)
    follower = Follower()
    follower.begin(last)
    leave_rest(follower, last)
    assert follower.has_ended(120)
    assert follower.problem == ""
    assert RunFolder.open(last.path).record.trackers == {"mlflow": "complete"}
    assert {str(RunFolder.open(path).record.trackers) for path in earlier} == {"{}"}
    wait(lambda: all(RunFolder.open(path).record.trackers == {"mlflow": "complete"} for path in earlier), 120)


def test_follow_warns_once_about_a_locked_store_and_then_sends_all(tracked: Tracked, store: Path) -> None:
    import sqlite3

    folder = copy_of(tracked, store, rows=2, status=Status.RUNNING, error=None, **this_process())
    other = sqlite3.connect(store / "mlflow.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with followed(folder.path) as (lines, end):
        wait(lambda: lines)
        threading.Event().wait(0.5)  # it tries again, and prints nothing more
        other.rollback()
        other.close()
        wait(lambda: len(lines) == 2)
        assert "another program has locked it; the run continues, and its folder is complete" in lines[0]
        assert lines[1].endswith("works again")
        folder.update(status=Status.FAILED, error="x")
        assert end() is True
    assert children(stores.tracking_uri()) == ["FAILED"]


def test_follow_warns_once_about_an_unreachable_server(
    tracked: Tracked, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_address())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = copy_of(tracked, project, trackers={})
    with followed(folder.path) as (lines, end):
        wait(lambda: lines)
        threading.Event().wait(0.5)
        assert end() is False
    assert len(lines) == 1
    assert "nothing answers there" in lines[0]
    # also in the record, because the run's own process may have ended
    assert "nothing answers there" in RunFolder.open(folder.path).record.trackers["mlflow"]
