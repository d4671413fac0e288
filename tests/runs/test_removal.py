"""An interrupted removal continues, and files that no run wrote stay."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from harness.runs.contents import kind_of, strange_files
from harness.runs.find import latest_runs
from harness.runs.record_parts import Status
from harness.runs.removal import REMOVED, delete, take_away, taken_away
from harness.runs.run_folder import RunFolder
from harness.util.disk import entries_below
from tests.toy import run_record


def made(runs: Path, name: str = "tiny") -> RunFolder:
    """A finished run with a file of each kind, and two files of the user."""
    folder = RunFolder.create(runs, run_record(name))
    files = ("checkpoints/fold1.pt", "predictions/fold1.npz", "plots/curves.png", "fold1/train/events.out.tfevents.1")
    for file in (*files, "metrics.jsonl", ".sending", ".run.json-0123abcd", "notes.md", "plots/mine/map.txt"):
        (folder.path / file).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / file).write_text(file)
    folder.update(status=Status.FINISHED)
    return folder


def test_strange_files_returns_files_that_no_run_wrote(tmp_path: Path) -> None:
    path = made(tmp_path).path
    (path / "plots/link.png").symlink_to(tmp_path)
    (path / "checkpoints/for-the-phone.pt").touch()
    found = strange_files(list(entries_below(path)))
    assert sorted(map(str, found)) == [
        *("checkpoints/for-the-phone.pt", "notes.md", "plots/link.png", "plots/mine/map.txt")
    ]
    assert kind_of(Path("trial-003/checkpoints/fold1.pt")) == kind_of(Path("checkpoints")) == "models"
    assert kind_of(Path("fold12/valid/events.out.tfevents.1")) == "events"


def test_delete_finishes_a_removal_and_moves_foreign_files_back(tmp_path: Path) -> None:
    path = made(tmp_path).path
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    (path / "plots/link").symlink_to(tmp_path / "precious")
    staged = take_away(path, tmp_path)
    assert latest_runs(tmp_path) == []
    assert not path.exists()
    (staged / "run.json").unlink()  # as after a kill -9
    assert taken_away(tmp_path) == [staged]
    problems: list[object] = []
    back = delete(staged, tmp_path, lambda *problem: problems.append(problem))
    assert sorted(back) == sorted(path / name for name in ("notes.md", "plots/link", "plots/mine/map.txt"))
    assert (path / "notes.md").read_text() == "notes.md"
    assert (tmp_path / "precious/file").exists()
    assert problems == []
    assert not (tmp_path / REMOVED).exists()


def test_delete_moves_no_file_outside_the_folder_of_runs(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    staged = take_away(made(runs).path, runs)
    (staged.parent / "from").write_text("../elsewhere")
    back = delete(staged, runs, lambda *_: None)
    assert all(path.is_relative_to(runs / f"left-{staged.parent.name}") for path in back)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to change the user")
def test_delete_reports_problems_and_continues() -> None:
    with tempfile.TemporaryDirectory() as home:
        runs = Path(home)
        staged = take_away(made(runs).path, runs)
        for path in (runs, *runs.rglob("*")):
            os.chown(path, 65534, 65534)
        (staged / "plots").chmod(0o555)
        problems: list[Path] = []
        os.seteuid(65534)
        try:
            delete(staged, runs, lambda path, _error: problems.append(path))
        finally:
            os.seteuid(0)
        assert {path.name for path in problems} == {"curves.png", "mine"}
        assert not (staged / "checkpoints").exists()
        (staged / "plots").chmod(0o755)
        assert delete(staged, runs, lambda *_: None) == []
        assert not (runs / REMOVED).exists()
