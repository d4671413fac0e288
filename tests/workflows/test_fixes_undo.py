"""Tests of undo: after a kill at any moment, twice, with conflicts, and with a hostile log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.runs.data_changes_record import ChangesStatus
from harness.util.files import md5_of
from harness.util.locks import locked
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.place import read_changes
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import CUT_OFF, SIX, checked, contents, six_files, table_of

ACTIONS = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove", "sea/2.jpg": "move to forest"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return six_files(tmp_path, monkeypatch)


def applied(home: Path, actions: dict[str, str] | None = None) -> Path:
    """Applies a table of fixes, and returns its folder of changes."""
    table = table_of(home / "fixes.csv", ACTIONS if actions is None else actions, checked("data"), "data")
    return apply_fixes(table).changes[0].folder


@pytest.mark.parametrize(
    ("call", "number"),
    [("link", 1), ("link", 2), ("link", 3), ("unlink", 1), ("unlink", 3), ("fsync", 3)],
)
def test_undo_after_a_kill_at_any_sync(home: Path, call: str, number: int) -> None:
    """A move is a link and an unlink; the log is synced before the first, and after the last."""
    table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    done = subprocess.run(
        [sys.executable, "-c", CUT_OFF.format(call=call, number=number, signal=9)], cwd=home, check=False
    )
    assert done.returncode == -signal.SIGKILL
    (log,) = home.glob("data-changes/*/log.json")
    assert json.loads(log.read_text())["status"] == "applying"
    if number > 1 or call == "unlink":
        assert contents(home / "data") != SIX
    undo_changes()
    assert contents(home / "data") == SIX
    assert read_changes(log.parent).record.status is ChangesStatus.UNDONE


@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_apply_undoes_its_moves_after_a_signal(home: Path, signal_: int, code: int) -> None:
    table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    script = CUT_OFF.format(call="link", number=2, signal=int(signal_))
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert contents(home / "data") == SIX
    (log,) = home.glob("data-changes/*/log.json")
    assert json.loads(log.read_text())["status"] == "undone"


def test_apply_moves_nothing_before_its_log_is_written(home: Path) -> None:
    table = table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    subprocess.run([sys.executable, "-c", CUT_OFF.format(call="fsync", number=2, signal=9)], cwd=home, check=False)
    assert not list(home.glob("data-changes/*/log.json"))
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes()
    apply_fixes(table)
    undo_changes()
    assert contents(home / "data") == SIX


def test_undo_continues_after_an_interruption(home: Path) -> None:
    folder = applied(home)
    moved = read_changes(folder).record.moves[1]
    (home / moved.target).rename(home / moved.source)  # the first step of an undo
    assert len(undo_changes().reverted.moves) == 2
    assert contents(home / "data") == SIX


def test_undo_twice_undoes_two_calls(home: Path) -> None:
    applied(home, {"forest/1.jpg": "move to sea"})
    middle = contents(home / "data")
    second = applied(home, {"sea/1-2.jpg": "remove"})
    assert "sea/1-2.jpg" not in contents(home / "data")
    assert undo_changes().reverted.changes.folder == second
    assert contents(home / "data") == middle
    undo_changes("data-changes")
    assert contents(home / "data") == SIX
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes("data-changes")


def test_undo_refuses_a_call_before_later_ones_are_undone(home: Path) -> None:
    first = applied(home, {"forest/1.jpg": "move to sea"})
    second = applied(home, {"sea/1-2.jpg": "remove"})
    with pytest.raises(UsageError, match=f"{second.name} is later"):
        undo_changes(first)
    undo_changes(second)
    with pytest.raises(UsageError, match="is already undone"):
        undo_changes(second)
    undo_changes(first)
    assert contents(home / "data") == SIX


def test_undo_lists_all_conflicts_and_moves_nothing(home: Path) -> None:
    applied(home)
    write_files(home / "data", {"forest/1.jpg": b"another", "forest/2.jpg": b"another, too"})
    before = contents(home)
    with pytest.raises(DataError) as caught:
        undo_changes()
    assert "forest/1.jpg is now a different file" in caught.value.why
    assert "forest/2.jpg is now a different file" in caught.value.why
    assert contents(home) == before


def test_undo_refuses_a_file_that_has_changed(home: Path) -> None:
    applied(home)
    (home / "data/sea/1-2.jpg").write_bytes(b"edited")
    with pytest.raises(DataError, match=r"sea/1-2.jpg has changed"):
        undo_changes()


def test_undo_moves_the_other_files_back_if_one_is_missing(home: Path) -> None:
    applied(home)
    (home / "data/sea/1-2.jpg").unlink()
    undone = undo_changes()
    assert undone.reverted.gone == ["data/sea/1-2.jpg"]
    assert contents(home / "data") == {name: content for name, content in SIX.items() if name != "forest/1.jpg"}


def test_undo_moves_a_second_copy_away(home: Path) -> None:
    """A move to another disk is a copy and a deletion. If interrupted between them, the file is at both places."""
    folder = applied(home)
    write_files(home / "data", {"forest/1.jpg": b"forest 1", "forest/2.jpg": b"forest 2"})
    undo_changes()
    assert contents(home / "data") == SIX
    assert (folder / "removed/data/sea/1-2.jpg").read_bytes() == b"forest 1"
    assert (folder / "removed/data/forest/2.jpg").read_bytes() == b"forest 2"


def test_undo_finds_changes_in_subfolders_and_beside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied(home)
    monkeypatch.chdir(home / "data")
    undo_changes()
    assert contents(home / "data") == SIX
    monkeypatch.chdir(home)
    applied(home)
    monkeypatch.chdir(home.parent)
    undo_changes()
    assert contents(home / "data") == SIX


def test_undo_in_a_dry_run_changes_nothing(home: Path) -> None:
    applied(home)
    before = contents(home)
    assert len(undo_changes(dry_run=True).reverted.moves) == 3
    assert contents(home) == before


def test_apply_and_undo_refuse_while_another_process_holds_the_lock(home: Path) -> None:
    applied(home)
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, checked("data"), "data")
    with locked(home / "data-changes/.lock"):
        command = [sys.executable, "-m", "harness", "data"]
        for arguments in (["undo"], ["apply", str(table)]):
            done = subprocess.run([*command, *arguments], cwd=home, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done.stderr
            assert "another process is changing them" in done.stderr


def forged(home: Path, **moves: str) -> Path:
    """Writes a folder of changes as a hostile data set may contain it; `moves` are source and target."""
    write_files(home, {"secret/key.jpg": b"key", "data-changes/20260101-000000/removed/x.jpg": b"x"})
    digest = {"secret/key.jpg": md5_of(b"key")}
    source, target = moves["source"], moves["target"]
    log = {
        "schema": 3,
        "at": "2026-01-01T00:00:00",
        "fixes": "fixes.csv",
        "status": "applied",
        "moves": [{"source": source, "target": target, "md5": digest.get(target, md5_of(b"x"))}],
        "tables": [],
        "folders": [],
    }
    (home / "data-changes/20260101-000000/log.json").write_text(json.dumps(log))
    return home / "data-changes"


INSIDE = "data-changes/20260101-000000/removed/x.jpg"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("../x.jpg", INSIDE),
        ("/tmp/x.jpg", INSIDE),
        ("data/../../x.jpg", INSIDE),
        ("experiments/x.py", INSIDE),
        (".git/hooks/post-checkout", INSIDE),
        ("C:\\x.jpg", INSIDE),
        ("x\0.jpg", INSIDE),
        ("data/link/x.jpg", INSIDE),
        ("data/sea/x.jpg", "../secret/key.jpg"),
    ],
)
def test_undo_moves_nothing_outside_the_folder_with_a_hostile_log(home: Path, source: str, target: str) -> None:
    (home / "elsewhere").mkdir()
    (home / "data/link").symlink_to(home / "elsewhere")
    folder = forged(home, source=source, target=target)
    before = contents(home)
    with pytest.raises(DataError):
        undo_changes(folder)
    assert contents(home) == before


@pytest.mark.parametrize("log", [b"", b"{}", b"[1]", b"\xff", b"null", b'{"at": 1}', b"[" * 100_000])
def test_undo_refuses_a_damaged_log(home: Path, log: bytes) -> None:
    write_files(home, {"data-changes/20260101-000000/log.json": log})
    with pytest.raises(DataError, match="cannot be read"):
        undo_changes()


def test_apply_refuses_a_folder_with_other_files(home: Path) -> None:
    write_files(home, {"data-changes/mine.txt": b""})
    table = table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    with pytest.raises(UsageError, match="not a folder of changes"):
        apply_fixes(table)
    (home / "data-changes/mine.txt").unlink()
    (home / "data-changes").rmdir()
    (home / "elsewhere").mkdir()
    (home / "data-changes").symlink_to(home / "elsewhere")
    with pytest.raises(UsageError, match="not a folder of changes"):
        apply_fixes(table)
    assert not list((home / "elsewhere").iterdir())
    assert contents(home / "data") == SIX
