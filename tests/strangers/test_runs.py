"""`run.json`, `metrics.jsonl`, `predictions.csv` and links of a run folder that somebody sends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import RemoteError, StorageError
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.place import require_own_place
from harness.trackers.mlflow.store import DEFAULT
from harness.trackers.mlflow.unsent import send_unsent
from harness.util.processes import python_module
from tests.conftest import Outcome, write_experiment, write_files
from tests.strangers.conftest import Sandbox
from tests.toy import run_record

HUGE = 10**400
FIELDS: list[tuple[str, Any]] = [
    *(("name", value) for value in ("../x", "/etc/x", "--help", "a/b", "A", "", 7, None, "x" * 1000, "a\nb")),
    *(("id", value) for value in ("../x", "x' or 'a' = 'a", "--all", 7, "", "\x1b[2J")),
    *(("status", value) for value in ("\x1b[2J", "a b", 7, None)),
    *(("started", value) for value in ("yesterday", "0001-01-01", "9999-12-31T00:00:00", 7)),
    *(("git.commit", value) for value in ("--output=OUT", "--no-index", "../x", "HEAD", 7, ["a"], "a" * 100)),
    *(("data.folder", value) for value in ("", "a\0b", 7, "x" * 9000)),
    *(("data.digest", value) for value in ("..//etc/x", "0123.dir", 7, "g" * 32)),
    *(("data.classes", value) for value in ({"../x": 1}, {"": 1}, {"a": -1}, ["sea"], 7, {"a": HUGE})),
    *(("data.dvc", value) for value in ({"file": 7}, {"file": "a.dvc", "md5": "../x", "matches": True}, "x")),
    *(("folds", value) for value in (5, "x", [5], [{"fold": "../../x"}], [{}], {"1": {}})),
    *(("splits", value) for value in ({"../x": {"train": 1, "valid": 1}}, {"1": 3}, 5, {})),
    *(("accuracy", value) for value in (2, -1, "1", float("nan"), None, HUGE)),
    *(("interval", value) for value in ([0.5], [0, 2], "01", [0.1, "x"], 5)),
    *(("n", value) for value in (0, -1, 1.5, "35", HUGE)),
    *(("pid", value) for value in (-1, 0, 2**63, "1", HUGE)),
    *(("trackers", value) for value in (7, {"mlflow": 7}, ["mlflow"], {"../x": "complete"})),
    *(("experiment", value) for value in (5, [], {"name": "../../x"}, {"folds": "five"}, {"trackers": [7]})),
    *(("experiment", value) for value in ({"data": 5}, {"min_accuracy": 7}, {"image_size": 10**9})),
    *(("versions", value) for value in ({"torch; rm -rf /": "1"}, {"torch": "1 --index-url=http://x"}, {"--x": "1"})),
    *(("study", value) for value in ({"name": "../x", "id": "a", "trial": 0}, {"name": "a", "id": "a", "trial": -1})),
    *(("kind", value) for value in ("--x", 7)),
    *(("reproduces", value) for value in ("../x", 7)),
    *(("run_seconds", value) for value in (-1, "x", float("inf"))),
    *(("notes", value) for value in (5, [5], ["x" * 200_000])),
]


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=lambda value: ascii(value)[:40])
def test_a_record_with_a_field_of_another_form_is_refused(sandbox: Sandbox, field: str, value: Any) -> None:
    given = str(sandbox.outside / "keep.txt").join(value.split("OUT")) if isinstance(value, str) else value
    sandbox.change(sandbox.run / "run.json", field, given)
    listed = sandbox.runs("list")
    assert listed.code == 0
    assert "folders whose run.json cannot be read" in listed.out
    for command in (["sync", "--to", "tensorboard"], ["reproduce", "--dry-run"], ["test"], ["champion", "promote"]):
        outcome = sandbox.runs(*command, sandbox.run)
        assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
        assert field.split(".")[0] in outcome.err
    assert not (sandbox.project / "models").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "null", "[" * 100_000, '{"a": ' * 5000, "{}", "\0", '{"n": ' + "9" * 9999]
)
def test_a_record_that_is_none_is_refused(sandbox: Sandbox, text: str) -> None:
    (sandbox.run / "run.json").write_text(text)
    assert sandbox.runs("list").code == 0
    outcome = sandbox.runs("test", sandbox.run)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)


def test_a_test_without_what_it_tested_is_refused(sandbox: Sandbox) -> None:
    sandbox.change(sandbox.run / "run.json", "kind", "test")
    assert "checkpoint is missing" in sandbox.runs("test", sandbox.run).err


def change_folds(record: dict[str, Any]) -> None:
    record["folds"] = [record["folds"][0]] * 2


UNFIT: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("splits", lambda record: record.pop("splits")),
    ("folds has one of them twice", change_folds),
    ("n or interval", lambda record: record.pop("n")),
    ("it has 2 classes", lambda record: record["data"]["classes"].update(third=1)),
    ("weights", lambda record: record["experiment"].update(weights="\ud800")),
    ("experiment has no field", lambda record: record["experiment"].update(cls=1)),
    ("experiment has no field", lambda record: record["experiment"].update(self=1)),
]


@pytest.mark.parametrize(("why", "change"), UNFIT, ids=[why for why, _ in UNFIT])
def test_a_record_whose_parts_do_not_fit_is_refused(
    sandbox: Sandbox, why: str, change: Callable[[dict[str, Any]], object]
) -> None:
    record = json.loads((sandbox.run / "run.json").read_text())
    change(record)
    (sandbox.run / "run.json").write_text(json.dumps(record))
    assert sandbox.runs("list").code == 0
    outcome = sandbox.runs("reproduce", sandbox.run, "--dry-run")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
    assert why in outcome.err or "no folds" in outcome.err
    sandbox.runs("sync", sandbox.run, "--to", "tensorboard")


def test_a_lock_that_is_a_folder_is_said_to_be_one(sandbox: Sandbox) -> None:
    (sandbox.run / ".sending").mkdir()
    outcome = sandbox.runs("sync", sandbox.run, "--to", "mlflow")
    assert (outcome.code, len(outcome.error_lines)) == (1, 3)
    assert ".sending cannot be written" in outcome.err


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_a_link_among_the_runs_gets_no_run(sandbox: Sandbox, scenery: Path) -> None:
    write_experiment(sandbox.project / "experiments/odd.py", scenery, epochs=1)
    (sandbox.project / "runs/odd").symlink_to(sandbox.outside)
    outcome = sandbox.runs("run", "odd")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_the_advice_about_a_link_loses_nothing(sandbox: Sandbox) -> None:
    shutil.move(sandbox.run / "checkpoints", sandbox.project / "disk")
    (sandbox.run / "checkpoints").symlink_to(sandbox.project / "disk")
    advice = sandbox.runs("test", sandbox.run).error_lines[2].removeprefix("  try: ")
    subprocess.run(advice, shell=True, check=True)
    assert [*(sandbox.run / "checkpoints").glob("*.pt")]
    assert [*(sandbox.project / "disk").glob("*.pt")]


@pytest.mark.slow  # MLflow is asked by processes, since it keeps what it opened
def test_a_store_that_came_along_does_not_say_where_files_go(
    sandbox: Sandbox, new_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(new_database, sandbox.project / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sandbox.note()

    def sync() -> subprocess.CompletedProcess[str]:
        command = python_module("harness", "sync", str(sandbox.run), "--to", "mlflow")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert sandbox.contents() == sandbox.before
        return done

    assert sync().returncode == 0
    said = {"runs.artifact_uri": (5, "its files go to"), "experiments.artifact_location": (0, "'tiny in ")}
    for place, (code, words) in said.items():
        table, column = place.split(".")
        with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
            database.execute(f"UPDATE {table} SET {column} = ?", (str(sandbox.outside),))
            database.commit()
        done = sync()
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    "folder", ["{outside}", "file://{outside}", "s3://bucket/x", "experiments", "mlruns/../x", "mlruns"]
)
def test_the_projects_own_store_keeps_its_files_in_the_project(
    sandbox: Sandbox, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RemoteError, match="is not used"):
        require_own_place(DEFAULT, folder.format(outside=sandbox.outside))
    require_own_place(DEFAULT, str(sandbox.project / "mlruns/1"))
    require_own_place(DEFAULT, (sandbox.project / "mlruns/1").as_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEFAULT)  # which somebody typed, as the error advises
    require_own_place(DEFAULT, str(sandbox.outside))


def test_one_damaged_folder_keeps_no_other_from_being_listed(sandbox: Sandbox) -> None:
    shutil.copytree(sandbox.run, sandbox.run.with_name("20260101-000000-dcba"))
    (sandbox.run / "run.json").write_text("{}")
    outcome = sandbox.runs("list")
    assert re.search(r"^  abcd  .*  finished  ", outcome.out, re.MULTILINE)
    assert "20260101-000000-abcd" in outcome.out.split("cannot be read")[1]


EPOCHS = [
    {"fold": "../../../../outside/a", "epoch": 1, "time": 1.0},
    {"fold": 99, "epoch": 1, "time": 1.0},
    {"fold": -1, "epoch": 1, "time": 1.0},
    {"fold": 1, "epoch": HUGE, "time": 1.0},
    {"fold": 1, "epoch": 1, "time": -1e300},
    {"fold": 1, "epoch": 1, "time": "now"},
    {"fold": 1, "epoch": 1, "time": 1.0, "valid_accuracy": "x"},
    {"fold": 1, "epoch": 1, "time": 1.0, "../../x": [1]},
    {"fold": 1, "epoch": 1, "time": 1.0, "valid_accuracy": HUGE},
    {"fold": 1, "epoch": 1},
    ["fold"],
]


@pytest.mark.parametrize("row", EPOCHS, ids=lambda row: ascii(row)[:50])
def test_a_line_of_metrics_of_another_form_is_refused(sandbox: Sandbox, row: Any) -> None:
    (sandbox.run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    outcome = sandbox.runs("sync", sandbox.run, "--to", "tensorboard")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "metrics.jsonl cannot be read" in outcome.err


PREDICTIONS = [
    "../../../outside/keep.txt,1,sea,sea,0.5,0.5",
    "{outside}/keep.txt,1,sea,sea,0.5,0.5",
    *(("C:\\x.jpg,1,sea,sea,0.5,0.5", "..\\x.jpg,1,sea,sea,0.5,0.5") if os.name == "nt" else ()),
    "a.jpg,1,sea,sea," + "0" * 200_000 + ",0.5",
    "a.jpg,one,sea,sea,0.5,0.5",
    "a.jpg,1,sea,sea,nan,0.5",
    "a.jpg,1,sea,sea,2,-1",
    "a.jpg,1,sea,sea,0.5",
    "a.jpg,1,sea",
]


@pytest.mark.parametrize("line", PREDICTIONS)
def test_a_line_of_predictions_of_another_form_is_refused(sandbox: Sandbox, line: str) -> None:
    text = "path,fold,label,predicted,p_forest,p_sea\n" + line.format(outside=sandbox.outside) + "\n"
    (sandbox.run / "predictions.csv").write_text(text)
    shutil.rmtree(sandbox.run / "predictions")  # as version 0.1.0 left its runs
    outcome = sandbox.runs("reproduce", sandbox.run, "--dry-run")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "predictions.csv cannot be read" in outcome.err


def test_an_array_file_of_another_form_is_refused(sandbox: Sandbox) -> None:
    path = sandbox.run / "predictions/fold1.npz"
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays}
    paths = content["paths"].tobytes().split(b"\0")
    for odd in (b"../../../outside/keep.txt", str(sandbox.outside / "keep.txt").encode()):
        joined = np.frombuffer(b"\0".join([odd, *paths[1:]]), np.uint8)
        np.savez(path, **(content | {"paths": joined}))
        outcome = sandbox.runs("reproduce", sandbox.run, "--dry-run")
        assert (outcome.code, len(outcome.error_lines)) == (2, 3)
        assert "fold1.npz cannot be read" in outcome.err


LINKS = ["plots", "checkpoints", "fold1", "fold1/train", "run.json", "metrics.jsonl", "predictions.csv", ".sending"]
LINKS += ["experiment.py", "plots/curves.png", "checkpoints/fold1.pt", "checkpoints/fold2.pt", "metrics.json"]


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_a_run_folder_is_not_followed(sandbox: Sandbox, name: str) -> None:
    path = sandbox.run / name
    target = sandbox.outside / ("plots" if "." not in name.lstrip(".") else "keep.txt")
    if name == ".sending":
        target = sandbox.outside / "new"
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    assert sandbox.runs("list").code == 0
    for command in (["sync", "--to", "tensorboard"], ["test"], ["reproduce", "--dry-run"]):
        sandbox.runs(*command, sandbox.run)
    if name == ".sending":
        with pytest.raises(StorageError, match="cannot be written"), RunFolder(sandbox.run, {}).sending():
            pass
    assert sandbox.contents() == sandbox.before
    assert not (sandbox.outside / "new").exists()


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_what_a_link_leads_to_does_not_get_into_mlflow(
    sandbox: Sandbox, new_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(new_database, sandbox.project / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{sandbox.project / 'mlflow.db'}")
    for name in ("plots/x.png", "metrics.json"):
        (sandbox.run / name).unlink(missing_ok=True)
        (sandbox.run / name).symlink_to(sandbox.outside / "keep.txt")
    assert sandbox.runs("sync", sandbox.run, "--to", "mlflow").code == 0
    sent = {path.name: path.read_bytes() for path in (sandbox.project / "mlruns").rglob("*") if path.is_file()}
    assert "run.json" in sent
    assert not {"x.png", "metrics.json"} & {*sent}
    assert b"mine" not in sent.values()


def test_pictures_of_images_are_drawn_only_of_runs_that_were_made_here(sandbox: Sandbox, scenery: Path) -> None:
    shutil.rmtree(sandbox.run / "plots")
    assert sandbox.runs("sync", sandbox.run, "--to", "tensorboard").code == 0
    assert (sandbox.run / "plots/confusion.png").is_file()
    assert not (sandbox.run / "plots/errors.png").exists()  # whose images the record could choose among all of ours


def test_a_folder_that_is_written_again_loses_nothing_behind_a_link(sandbox: Sandbox) -> None:
    folder = sandbox.project / "again"
    write_files(folder, {".again": b"run\n", "run.json": b"{}"})
    (folder / "plots").symlink_to(sandbox.outside / "plots")
    sandbox.note()
    RunFolder.create(sandbox.project / "runs", run_record("tiny"), folder)
    assert sandbox.contents() == sandbox.before


def test_what_cannot_be_read_does_not_keep_ended_runs_from_being_sent(sandbox: Sandbox) -> None:
    (sandbox.run / "run.json").write_text("{}")
    sandbox.note()
    assert send_unsent(sandbox.project / "runs") == []


ESCAPES = "\x1b[2J\x07\u202e=cmd()\r\n| <img src=x onerror=alert(1)>"


def test_texts_from_a_record_are_harmless_where_they_are_shown(sandbox: Sandbox) -> None:
    for field in ("error", "title"):
        sandbox.change(sandbox.run / "run.json", field, ESCAPES)
    sandbox.change(sandbox.run / "run.json", "status", "failed")
    sandbox.change(sandbox.run / "run.json", "origins", {"data": "command line"})
    sandbox.change(sandbox.run / "run.json", "experiment.data", f"{ESCAPES}")
    outcome: Outcome = sandbox.runs("list")
    assert r"\x1b[2J\x07\u202e=cmd()" in outcome.out
    assert json.loads(sandbox.runs("list", "--json").out)["runs"][0]["status"] == "failed"
