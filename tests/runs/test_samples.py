"""Runs, a test, a study and a champion that version 0.1.0 has written can still be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runs.champion import history
from harness.runs.champion_record import ChampionRecord
from harness.runs.find import find_run, latest_runs, latest_studies
from harness.runs.record_file import read_record, to_json
from harness.runs.record_parts import SCHEMA, Status
from harness.runs.records import RunRecord, StudyRecord, TestRecord
from harness.runs.run_folder import RunFolder
from harness.util.schema import SchemaError
from tests.conftest import Outcome

SAMPLE = Path(__file__).parents[1] / "samples/0.1.0"
RUN = SAMPLE / "runs/tiny/20261125-231800-b7e6"
RECORDS = sorted(SAMPLE.rglob("run.json")) + sorted(SAMPLE.rglob("study.json")) + sorted(SAMPLE.rglob("champion.json"))


def kind_of(path: Path) -> type[RunRecord] | type[StudyRecord] | type[ChampionRecord]:
    kinds = {"run.json": RunRecord, "study.json": StudyRecord, "champion.json": ChampionRecord}
    return kinds[path.name]  # type: ignore[return-value]


RENAMED = {"best_epoch": "epoch", "found": "result"}  # fields of version 0.1.0 that have new names


def missing(before: Any, after: Any, where: str = "") -> list[str]:
    """The fields of `before` that are missing or different in `after`. A field that was null may be left out."""
    if isinstance(before, dict) and isinstance(after, dict):
        parts = [
            missing(value, after.get(RENAMED.get(name, name)), f"{where}.{name}") for name, value in before.items()
        ]
        return [name for part in parts for name in part]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [missing(*pair, f"{where}[{index}]") for index, pair in enumerate(zip(before, after, strict=True))]
        return [name for part in parts for name in part]
    return [] if before == after else [where]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: str(path.relative_to(SAMPLE)))
def test_read_record_keeps_every_field_of_version_0_1_0(path: Path, tmp_path: Path) -> None:
    before = json.loads(path.read_text())
    record = read_record(kind_of(path), path)
    assert record.schema == 1
    (tmp_path / path.name).write_bytes(to_json(record))
    after = json.loads((tmp_path / path.name).read_text())
    assert after["schema"] == SCHEMA
    assert missing(before, after) == []
    again = read_record(kind_of(path), tmp_path / path.name)
    assert to_json(again) == to_json(record)


def test_latest_runs_finds_runs_of_version_0_1_0() -> None:
    assert len(RECORDS) == 9
    runs = latest_runs(SAMPLE / "runs")
    assert [folder.is_test for folder in runs] == [True, True, False]
    run = find_run("b7e6", SAMPLE / "runs")
    assert run.status is Status.FINISHED
    assert run.record.n == 12
    assert len(run.predictions()) == 12
    assert run.predictions().accuracy.value == run.record.accuracy
    assert len(run.epochs()) == 2
    best = run.best_fold()
    assert best is not None
    assert best.n == 6
    tested = runs[0].record
    assert isinstance(tested, TestRecord)
    assert {*tested.per_class} == {"forest", "sea"}
    (study,) = latest_studies(SAMPLE / "runs")
    assert [trial.record.study.trial for trial in study.trials() if trial.record.study] == [0, 1]
    assert study.record.result is not None
    assert study.record.result.best is not None


def test_commands_accept_a_project_of_version_0_1_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]
) -> None:
    shutil.copytree(SAMPLE, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    listed = json.loads(call("list", "--tests", "--json").out)
    assert [run["status"] for run in listed["runs"]] == ["finished"] * 3
    assert listed["unreadable"] == []
    (champion,) = history(Path("models"))
    assert (champion.number, champion.run.id) == (1, RUN.name)
    assert call("sync", RUN.relative_to(SAMPLE), "--to", "tensorboard").code == 0
    assert RunFolder.open(tmp_path / "project" / RUN.relative_to(SAMPLE)).record.trackers == {"tensorboard": "complete"}


def test_read_record_refuses_a_newer_schema(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    folder = tmp_path / "runs/tiny/one"
    shutil.copytree(RUN, folder)
    record = json.loads((folder / "run.json").read_text()) | {"schema": SCHEMA + 1}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(SchemaError, match=f"schema is {SCHEMA + 1}, from a newer version of harness"):
        read_record(RunRecord, folder / "run.json")
    outcome = call("test", folder)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "upgrade harness" in outcome.err


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("folds", 5, "folds is 5"),
        ("trackers", 7, "trackers is 7"),
        ("status", "resting", "status is 'resting'"),
        ("n", "12", "n is '12'"),
        ("data", [], "data is a list"),
    ],
)
def test_commands_name_the_wrong_field_of_a_record(
    field: str, value: object, message: str, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    folder = tmp_path / "runs/tiny/one"
    shutil.copytree(RUN, folder)
    shutil.copytree(RUN, tmp_path / "runs/tiny/two")
    record = json.loads((folder / "run.json").read_text()) | {field: value}
    (folder / "run.json").write_text(json.dumps(record))
    for command in (("test", folder), ("sync", folder, "--to", "tensorboard")):
        outcome = call(*command)
        assert (outcome.code, len(outcome.error_lines)) == (2, 3)
        assert message in outcome.err
        assert "run.json cannot be read" in outcome.err
    listed = json.loads(call("list", "--runs", tmp_path / "runs", "--json").out)
    assert [Path(run["run_dir"]).name for run in listed["runs"]] == ["two"]
    assert [Path(run["run_dir"]).name for run in listed["unreadable"]] == ["one"]
