"""`harness data status` and `harness data ready` compare the data here with the tracked version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.versioning.conftest import FILES, Call, assert_reported, content_of, forget

pytest.importorskip("dvc")


def test_status_prints_clean_differs_or_absent_and_what_to_type(stored: Path, call: Call) -> None:
    md5 = json.loads(call("data", "status", "--json").out)["tracked"][0]["md5"]
    assert call("data", "status").out == f"data  clean    5 files  matches data.dvc: {md5}\n"
    (stored / "data/new").write_bytes(b"new")
    (stored / "data/empty").write_bytes(b"not now")
    differs = call("data", "status", "data").out
    assert "differs" in differs
    fix = "harness data track data, to save it as a new version; or harness data pull --force data, to discard it"
    assert f": 1 changed, 1 new: {fix}\n" in differs
    forget(stored, "data")
    absent = call("data", "status", "data/").out
    assert absent == f"data  absent   no files  data.dvc names {md5} (5 files): harness data ready data\n"


def test_status_prints_json(stored: Path, call: Call) -> None:
    clean = json.loads(call("data", "status", "--json").out)
    (entry,) = clean["tracked"]
    assert entry == {
        "path": "data",
        "file": "data.dvc",
        "status": "clean",
        "tracked_md5": entry["md5"],
        "md5": entry["md5"],
        "tracked_files": 5,
        "files": 5,
        "changes": None,
    }
    (stored / "data/empty").unlink()
    (differs,) = json.loads(call("data", "status", "--json").out)["tracked"]
    assert (differs["status"], differs["changes"]) == ("differs", {"changed": 0, "new": 0, "missing": 1})
    forget(stored, "data")
    (absent,) = json.loads(call("data", "status", "--json").out)["tracked"]
    assert (absent["status"], absent["md5"], absent["files"], absent["changes"]) == ("absent", None, 0, None)


def test_status_raises_for_a_path_that_is_not_tracked(stored: Path, call: Call) -> None:
    for verb in ("status", "push", "pull", "ready"):
        assert_reported(call("data", verb, "nothing"), 2, "nothing is not tracked", "harness data track nothing")
    assert_reported(call("data", "track", "nothing"), 2, "nothing is not there")
    (stored / "data.dvc").unlink()
    assert_reported(call("data", "status"), 2, "nothing is tracked here")


def test_ready_accepts_clean_data(stored: Path, call: Call) -> None:
    outcome = call("data", "ready", "data", "--receipt", "made/receipt.json")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("data  clean")
    md5 = json.loads(call("data", "status", "--json").out)["tracked"][0]["md5"]
    assert json.loads((stored / "made/receipt.json").read_text()) == {"md5": md5, "files": 5}
    assert call("data", "ready", "--md5", md5).code == 0


@pytest.mark.parametrize("receipt", ["data.dvc", "data/new.json", ".", ""])
def test_ready_does_not_overwrite_a_file_with_the_receipt(stored: Path, call: Call, receipt: str) -> None:
    before = (stored / "data.dvc").read_bytes()
    assert_reported(call("data", "ready", "data", "--receipt", receipt), 2, "cannot be the receipt")
    assert (stored / "data.dvc").read_bytes() == before
    assert content_of(stored / "data") == FILES


def test_ready_pulls_absent_data(stored: Path, call: Call) -> None:
    forget(stored)
    outcome = call("data", "ready")
    assert outcome.code == 0, outcome.err
    assert content_of(stored / "data") == FILES


def test_ready_refuses_data_that_differ_and_does_not_change_them(stored: Path, call: Call) -> None:
    (stored / "data/empty").write_bytes(b"precious")
    outcome = call("data", "ready", "--receipt", "receipt.json")
    assert_reported(outcome, 4, "data does not match data.dvc", "1 changed", "harness data status data")
    assert (stored / "data/empty").read_bytes() == b"precious"
    assert not (stored / "receipt.json").exists()


def test_ready_refuses_another_version_than_the_required_one(stored: Path, call: Call) -> None:
    assert_reported(call("data", "ready", "--md5", "0.dir"), 4, "data.dvc names another version", "not 0.dir")


def test_ready_raises_for_absent_data_without_a_remote(project: Path, call: Call) -> None:
    call("data", "track", "data")
    forget(project)
    assert_reported(call("data", "ready"), 5, "no remote is set up")


def test_ready_draws_absent_demo_data(
    project: Path, call: Call, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("data", "track", "data")
    (demo,) = json.loads(call("data", "status", "--json").out)["tracked"]
    monkeypatch.setattr("harness.data.demo.DIGEST", demo["md5"])
    monkeypatch.setattr("harness.data.demo.draw_demo", lambda folder: shutil.copytree(template / "data", folder))
    forget(project)
    assert call("data", "ready").code == 0
    assert content_of(project / "data") == FILES
    forget(project, "data")
    call("data", "remote", project.parent / "storage")
    assert call("data", "pull").code == 0  # from DVC's cache, which contains them now
    assert content_of(project / "data") == FILES
