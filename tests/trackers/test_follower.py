"""At its end, a command waits for the process that still sends a run to MLflow."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.errors import Terminated
from harness.runs.place import AGAIN
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers import follower
from harness.trackers.mlflow.state import SENDING
from tests.conftest import Tracked
from tests.predicted import lay_run, predicted


class Waiting(follower.Follower):
    """A follower without a process. It ends after the command has waited for `seconds`."""

    def __init__(self, folder: RunFolder, seconds: float, problem: str = "", records: str = "") -> None:
        self.recorded: list[str] = []  # the state in the record when `end` was called
        self.has_told = problem == "MLflow fails"
        self._folder, self._left, self._failed, self._records = folder, seconds, problem, records

    @property
    def problem(self) -> str:
        return self._failed if self._left <= 0 else ""

    def end(self, interrupted: bool = False) -> None:
        self._folder.reload()
        self.recorded.append(self._folder.record.trackers["mlflow"])

    def settles(self, seconds: float) -> bool:
        return self.has_ended(seconds) or self.has_told

    def has_ended(self, seconds: float) -> bool:
        self._left -= seconds
        if self._left <= 0 and self._records:
            self._folder.record_trackers({"mlflow": self._records})
        return self._left <= 0


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    return lay_run(Path("runs"), predicted("+-"), status=Status.FINISHED, stores={"mlflow": "sqlite:///mlflow.db"})


@pytest.mark.parametrize(
    ("seconds", "problem", "records", "state", "says"),
    [
        (1.0, "", "complete", "complete", []),
        (5.0, "", "complete", "complete", ["waiting for MLflow, 10 s at most"]),
        (
            60.0,
            "",
            "complete",
            SENDING,
            ["waiting for", "in the background; harness list", "to wait for it: harness sync {path}"],
        ),
        (1.0, "it hung", "it hung", "it hung", ["not sent to  mlflow: harness sync {path}"]),
        (60.0, "MLflow fails", "", SENDING, ["not sent to  mlflow: harness sync {path}"]),
        (1.0, "it ended with -9", "", "it ended with -9", ["warning: it ended with -9", "harness sync {path}"]),
    ],
)
def test_wait_for_rest_ends_within_seconds_and_prints_what_is_missing(
    run: RunFolder,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    problem: str,
    records: str,
    state: str,
    says: list[str],
) -> None:
    process = Waiting(RunFolder.open(run.path), seconds, problem, records)
    follower.leave_rest(process, run)
    assert process.recorded == [SENDING]  # before the follower records the result
    follower.wait_for_rest()
    output = capsys.readouterr().err
    assert [text for text in says if text.format(path=run.path) not in output] == []
    assert bool(output) == bool(says)
    run.reload()
    assert run.record.trackers["mlflow"] == state
    follower.wait_for_rest()
    assert capsys.readouterr().err == ""


def test_wait_for_rest_prints_the_models_address_if_the_result_did_not(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(tracked.run.path, tmp_path / "runs/tiny" / tracked.run.id)
    shutil.copy(tracked.project / "mlflow.db", tmp_path)
    folder = RunFolder.open(Path("runs/tiny", tracked.run.id))
    for known in (False, True):
        monkeypatch.setattr(follower, "addressed", {folder.id} if known else set())
        follower.leave_rest(Waiting(folder, 1.0, "", "complete"), folder)
        follower.wait_for_rest()
        output = capsys.readouterr().err
        assert (
            bool(re.fullmatch(r"  mlflow {7}runs:/[0-9a-f]{32}/model  \(mlflow models serve .*\)\n", output))
            is not known
        )


def test_wait_for_rest_waits_longer_in_a_pipelines_folder(run: RunFolder) -> None:
    (run.path / AGAIN).write_text("run\n")
    seconds = follower.PIPELINE_SECONDS - 1
    process = Waiting(RunFolder.open(run.path), seconds, "MLflow fails", records="it hung")
    follower.leave_rest(process, run)
    follower.wait_for_rest()
    run.reload()
    assert run.record.trackers["mlflow"] == "it hung"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Terminated()])
def test_wait_for_rest_ends_on_a_signal_and_raises_nothing(
    run: RunFolder, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    class Signalled(Waiting):
        def settles(self, seconds: float) -> bool:
            raise error

    follower.leave_rest(Signalled(RunFolder.open(run.path), 1), run)
    follower.wait_for_rest()
    assert "the rest is sent to MLflow in the background" in capsys.readouterr().err
