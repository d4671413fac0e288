from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.runs.record_parts import ProgressRecord, Status
from harness.runs.run_folder import RunFolder
from harness.trackers import follow as following
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
    """(what it says, end it): `follow` in a thread, on the very folder."""
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


def test_epochs_arrive_as_they_are_written_and_the_end_when_it_comes(tracked: Tracked, store: Path) -> None:
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


def test_a_store_that_is_locked_for_a_while_is_told_once_and_loses_nothing(tracked: Tracked, store: Path) -> None:
    import sqlite3

    folder = copy_of(tracked, store, rows=2, status=Status.RUNNING, error=None, **this_process())
    other = sqlite3.connect(store / "mlflow.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with followed(folder.path) as (lines, end):
        wait(lambda: lines)
        threading.Event().wait(0.5)  # it tries again, and says nothing more
        other.rollback()
        other.close()
        wait(lambda: len(lines) == 2)
        assert "another program holds it locked; the run goes on, and its folder has all" in lines[0]
        assert lines[1].endswith("is there again")
        folder.update(status=Status.FAILED, error="x")
        assert end() is True
    assert children(stores.tracking_uri()) == ["FAILED"]


def test_a_server_that_is_not_there_is_told_once(
    tracked: Tracked, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_address())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = copy_of(tracked, project)
    with followed(folder.path) as (lines, end):
        wait(lambda: lines)
        threading.Event().wait(0.5)
        assert end() is False
    assert len(lines) == 1
    assert "nothing answers there" in lines[0]
