"""Starts runs as a user does, and kills some. Then checks what MLflow and the run folder have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config.experiment import Experiment
from harness.runs.run_folder import RunFolder
from harness.trackers import follower, servers
from harness.trackers.mlflow.state import SENDING, state_of
from harness.trackers.mlflow.store import connect, tracking_uri
from harness.trackers.tensorboard.events import Events
from harness.trackers.tensorboard.run import event_files
from harness.trackers.tracking import installed
from harness.util.addresses import address_id
from harness.workflows.crossval import cross_validate
from tests.conftest import Outcome, wait, write_experiment
from tests.trackers.test_mlflow import runs
from tests.trackers.test_store import TOKEN, unused_address


def small(data: Path, *trackers: str, epochs: int = 2) -> Experiment:
    values = {"model": "small_cnn", "weights": None, "image_size": 32, "folds": 0, "precision": "fp32"}
    return Experiment(data=str(data), name="tiny", epochs=epochs, batch_size=8, trackers=trackers, **values)  # type: ignore[arg-type]


# Each epoch takes some time, so that the process that sends to MLflow gets a core.
SLOWLY = """
import time
from harness import Callback

class Slowly(Callback):
    def on_epoch_end(self, state):
        time.sleep(0.2)

experiment = experiment.replace(callbacks=[Slowly()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(
    ("sent", "status", "there"),
    [
        pytest.param("SIGINT", "interrupted", "KILLED", marks=pytest.mark.slow),
        pytest.param("SIGKILL", "died", "FAILED", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_does_not_stay_running_in_mlflow(
    store: Path, scenery: Path, request: pytest.FixtureRequest, sent: str, status: str, there: str
) -> None:
    file = write_experiment(store / "experiments/long.py", scenery, epochs=10_000, name="tiny", trackers=("mlflow",))
    file.write_text(file.read_text() + SLOWLY)
    command = [sys.executable, "-m", "harness", "run", "long"]
    one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
    client = connect(tracking_uri())
    with (store / "said.txt").open("w") as log:
        process = subprocess.Popen(command, stderr=log, env=one_core, start_new_session=True)
        request.addfinalizer(process.kill)
        wait(lambda: (tiny := client.get_experiment_by_name("tiny")) and client.search_runs([tiny.experiment_id]), 120)
        if sent == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the run and all processes that it started
        else:
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait(60) == (130 if sent == "SIGINT" else -signal.SIGKILL)
    assert "Traceback" not in (store / "said.txt").read_text()
    wait(lambda: runs(client)[0].info.status != "RUNNING", 120)
    parent, children = runs(client)
    assert {run.info.status for run in (parent, *children)} == {there}
    (path,) = (store / "runs/tiny").iterdir()
    assert RunFolder.open(path).status == status


def test_a_run_uses_the_trackers_that_were_chosen(scenery: Path, store: Path) -> None:
    result = cross_validate(small(scenery))
    assert RunFolder.open(result.run_dir).record.trackers == {}
    assert event_files(result.run_dir) == []
    result = cross_validate(small(scenery, "tensorboard"))
    assert RunFolder.open(result.run_dir).record.trackers == {"tensorboard": "complete"}
    assert len(event_files(result.run_dir)) == 3
    assert connect(tracking_uri()).get_experiment_by_name("tiny") is None


def test_trackers_do_not_change_the_result(scenery: Path, store: Path) -> None:
    plain, with_tracker = (cross_validate(small(scenery, *trackers)) for trackers in ((), ("tensorboard",)))
    assert plain.predictions == with_tracker.predictions


def require_one_warning(outcome: Outcome, tracker: str, says: str) -> None:
    """The run finished, printed the problem once, and printed what to type: with its result or after it."""
    assert outcome.code == 0
    assert outcome.err.count("warning: ") == 1
    assert says in outcome.err
    assert f"not sent to  {tracker}: harness sync runs/tiny/" in outcome.out + outcome.err


def test_a_run_warns_once_about_an_unreachable_mlflow_and_continues(
    call: Callable[..., Outcome], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = unused_address()
    uri = f"{server}/{TOKEN}/path?sig={TOKEN}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(follower, "PATIENCE_SECONDS", 60.0)  # until the follower has written the record
    monkeypatch.setattr(follower, "WAIT_SECONDS", 60.0)
    warning = f"MLflow at {server} cannot be used: nothing answers there; the run continues, and its folder is complete"
    outcome = call("run", "tiny", "-s", "trackers=mlflow")
    require_one_warning(outcome, "mlflow", warning)
    (path,) = (project / "runs/tiny").iterdir()
    wait(lambda: state_of(RunFolder.open(path)) != SENDING)  # the command does not wait for a follower that has failed
    record = RunFolder.open(path).record
    assert "nothing answers there" in record.trackers["mlflow"]
    assert record.stores == {"mlflow": server}
    assert record.store_ids == {"mlflow": address_id(uri)}
    assert TOKEN not in outcome.out + outcome.err
    assert [file for file in path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()] == []


def test_a_run_warns_once_about_a_disk_full_for_tensorboard_and_continues(
    call: Callable[..., Outcome], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Events, "_write", full)
    require_one_warning(call("run", "tiny", "-s", "trackers=tensorboard"), "tensorboard", "No space left on device")


def test_a_run_warns_once_about_a_follower_that_cannot_start_and_continues(
    call: Callable[..., Outcome], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    require_one_warning(call("run", "tiny", "-s", "trackers=mlflow"), "mlflow", "warning: mlflow has failed")


def test_a_run_warns_once_about_a_missing_package_and_continues(
    call: Callable[..., Outcome], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlflow", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
        assert not installed(name)
    outcome = call("run", "tiny", "-s", "trackers=tensorboard,mlflow")
    assert outcome.code == 0
    for name in ("mlflow", "tensorboard"):
        assert outcome.err.count(f"{name} is not installed") == 1
    assert "not sent to" not in outcome.out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_run_warns_once_about_a_server_killed_during_the_run_and_sync_sends_the_rest(
    call: Callable[..., Outcome], store: Path, scenery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, port = tracking_uri(), servers.free_port(None, 15000, "--port")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    write_experiment(store / "experiments/long.py", scenery, epochs=60, name="tiny", trackers=("mlflow",))
    client = connect(tracking_uri())
    with (store / "said.txt").open("w") as log, servers.running([servers.mlflow(database, port)]):
        command = [sys.executable, "-m", "harness", "run", "long"]
        process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        wait(lambda: (tiny := client.get_experiment_by_name("tiny")) and client.search_runs([tiny.experiment_id]), 120)
    assert process.wait(120) == 0
    output = (store / "said.txt").read_text()
    assert output.count("warning: ") == 1
    assert "not sent to  mlflow: harness sync runs/tiny/" in output
    (path,) = (store / "runs/tiny").iterdir()
    with servers.running([servers.mlflow(database, port)]):
        assert runs(client)[0].info.status == "RUNNING"
        assert call("sync", path).code == 0
        parent, children = runs(client)
        assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
        for child in children:
            history = client.get_metric_history(child.info.run_id, "valid_loss")
            assert [point.step for point in history] == list(range(1, 61))
        assert len(client.search_logged_models([parent.info.experiment_id])) == 1
