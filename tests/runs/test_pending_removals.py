"""The list of removed runs that MLflow may still have."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.runs import trust
from harness.runs.pending_removals import (
    FILE,
    PendingRemoval,
    add_removals,
    has_pending,
    note_removed,
    pending_removals,
    removals_of,
)
from harness.runs.run_folder import RunFolder
from harness.util.addresses import address_id
from tests.toy import run_record

STORE = "sqlite:///mlflow.db"


def test_pending_removals_lists_a_removal_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.create(Path("runs"), run_record("tiny", stores={"mlflow": STORE}))
    pending = removals_of(folder)
    assert pending == [PendingRemoval(folder.id, "run", address_id(STORE))]
    other = PendingRemoval("other", "run", address_id("http://elsewhere"))
    add_removals([*pending, other, *pending])
    with FILE.open("a") as file:
        file.write(json.dumps({**dataclasses.asdict(pending[0]), "id": "forged", "mark": "0" * 64}) + "\n{torn")
    assert pending_removals(STORE) == pending
    note_removed(pending)
    assert pending_removals(STORE) == []
    assert pending_removals("http://elsewhere") == [other]
    note_removed([other])
    assert not has_pending()


def test_removals_of_a_foreign_run_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.create(Path("runs"), run_record("tiny", stores={"mlflow": STORE}))
    trust.RUNS.unlink()
    assert removals_of(folder) == []
