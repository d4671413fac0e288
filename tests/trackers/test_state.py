"""The folder shows what MLflow lacks of its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow import state
from harness.trackers.mlflow.store import recorded
from harness.trackers.sending import sending_alone
from tests.predicted import lay_run, predicted


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lay_run(Path("runs"), predicted("+-"), status=Status.FINISHED, **recorded("sqlite:///mlflow.db"))


def test_missing_text_explains_each_state(run: RunFolder) -> None:
    texts = {
        None: "incomplete in MLflow: sending was interrupted",
        state.SENDING: "incomplete in MLflow: sending was interrupted",
        "it hung": "incomplete in MLflow: it hung",
        "complete": "",
        "deleted there": "",
    }
    for known, text in texts.items():
        run.update(trackers={} if known is None else {"mlflow": known})
        assert state.missing_text(run) == text
        assert state.is_unsent(run) == bool(text)
    run.update(trackers={}, stores={}, store_ids={})  # the run did not use MLflow
    assert state.missing_text(run) == ""


def test_is_being_sent_reads_the_lock_and_writes_nothing(run: RunFolder) -> None:
    before = set(run.path.iterdir())
    assert not state.is_being_sent(run)
    assert set(run.path.iterdir()) == before
    with sending_alone(run):
        assert state.missing_text(RunFolder.open(run.path)) == "being sent to MLflow"
    assert not state.is_being_sent(run)


def test_record_state_changes_neither_complete_nor_resumed_runs(run: RunFolder) -> None:
    other = RunFolder.open(run.path)
    run.update(pid=1)  # it was resumed
    state.record_state(other, "it hung")
    run.reload()
    assert run.record.trackers == {}
    run.update(trackers={"mlflow": "complete"})
    state.record_state(run, "it hung")
    assert run.record.trackers == {"mlflow": "complete"}
