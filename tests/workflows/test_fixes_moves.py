"""Tests of moves that replace no file, also to another disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import DataError, StorageError
from harness.runs.data_check_record import CheckedImage
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.moves import FreeNames, move_new
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import SIX, checked, contents, edit, table_of


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than `tmp_path`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_move_new_replaces_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"a", "b": b"b"})
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        move_new(tmp_path / "none", tmp_path / "c")
    assert contents(tmp_path) == {"a": b"a", "b": b"b"}
    move_new(tmp_path / "a", tmp_path / "c")
    assert contents(tmp_path) == {"b": b"b", "c": b"a"}


def test_move_new_moves_a_link_and_not_its_target(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"a"})
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "lost").symlink_to(tmp_path / "none")
    move_new(tmp_path / "link", tmp_path / "moved")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "a", tmp_path / "lost")
    assert (tmp_path / "moved").readlink() == tmp_path / "a"
    assert (tmp_path / "a").read_bytes() == b"a"


def test_move_new_copies_to_another_disk(tmp_path: Path, other_disk: Path) -> None:
    write_files(tmp_path, {"a": b"a" * 3_000_000, "b": b"b"})
    (tmp_path / "a").chmod(0o444)
    os.utime(tmp_path / "a", (1e9, 1e9))
    (tmp_path / "link").symlink_to("b")
    write_files(other_disk, {"taken": b""})
    move_new(tmp_path / "a", other_disk / "a")
    move_new(tmp_path / "link", other_disk / "link")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "b", other_disk / "taken")
    assert (other_disk / "a").stat().st_mtime == 1e9
    assert (other_disk / "a").stat().st_mode & 0o777 == 0o444
    assert (other_disk / "link").readlink() == Path("b")
    assert sorted(path.name for path in other_disk.iterdir()) == ["a", "link", "taken"]
    assert contents(tmp_path) == {"b": b"b"}


def test_apply_and_undo_with_data_on_another_disk(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data folder is a link to another disk. Removed images are stored beside the link."""
    write_files(other_disk / "images", SIX)
    (tmp_path / "data").symlink_to(other_disk / "images")
    monkeypatch.chdir(tmp_path)
    actions = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove"}
    (changes,) = apply_fixes(table_of(tmp_path / "fixes.csv", actions, checked("data"), "data")).changes
    assert (changes.folder / "removed/data/forest/2.jpg").read_bytes() == b"forest 2"
    assert (other_disk / "images/sea/1-2.jpg").exists()
    assert not (other_disk / "images/forest/2.jpg").exists()
    undo_changes()
    assert contents(other_disk / "images") == SIX


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_apply_removes_a_pipe_with_the_name_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no MD5, because reading a pipe never ends."""
    write_files(tmp_path / "data", SIX)
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "data/sea/pipe.jpg")
    images = [CheckedImage("sea/pipe.jpg", "train", "sea", None)]
    table = table_of(tmp_path / "fixes.csv", {"sea/pipe.jpg": "remove"}, images, "data")
    (changes,) = apply_fixes(table).changes
    assert (changes.folder / "removed/data/sea/pipe.jpg").is_fifo()
    undo_changes()
    assert (tmp_path / "data/sea/pipe.jpg").is_fifo()
    edit(table, lambda row: row.update(md5="md5:" + "0" * 32))
    with pytest.raises(DataError, match=r"sea/pipe.jpg cannot be read"):
        apply_fixes(table)


def test_free_names_are_unique_and_not_too_long(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": b"", "a-2.jpg": b""})
    names = FreeNames()
    assert [names.near(tmp_path / "a.jpg").name for _ in range(3)] == ["a-3.jpg", "a-4.jpg", "a-5.jpg"]
    assert [names.near(tmp_path / name).name for name in ("B.jpg", "b.jpg")] == [
        "B.jpg",
        "b-2.jpg",
    ]  # as macOS sees them
    long = names.near(tmp_path / ("é" * 125 + ".jpg")), names.near(tmp_path / ("é" * 125 + ".jpg"))
    assert len(set(long)) == 2
    assert all(len(os.fsencode(path.name)) <= 255 for path in long)


@pytest.fixture
def locked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`locked_up(folder)`: nobody can write to that folder of the project until the test ends."""
    write_files(tmp_path / "data", SIX)
    monkeypatch.chdir(tmp_path)
    closed: list[Path] = []

    def close(folder: str) -> None:
        closed.append(tmp_path / folder)
        (tmp_path / folder).chmod(0o555)
        if os.access(tmp_path / folder, os.W_OK):
            pytest.skip("this user may write to any folder")

    yield close
    for folder in closed:
        folder.chmod(0o755)


@pytest.mark.parametrize("folder", [".", "data/forest", "data/sea"])
def test_apply_changes_nothing_if_a_folder_is_read_only(
    tmp_path: Path, locked_up: Callable[[str], None], folder: str
) -> None:
    actions = {"sea/1.jpg": "remove", "forest/1.jpg": "move to sea", "forest/2.jpg": "remove"}
    table = table_of(tmp_path / "fixes.csv", actions, checked("data"), "data")
    locked_up(folder)
    with pytest.raises(StorageError, match="cannot be written") as caught:
        apply_fixes(table)
    assert "writable" in caught.value.fix
    assert contents(tmp_path / "data") == SIX


def test_undo_of_a_read_only_folder_continues_later(tmp_path: Path, locked_up: Callable[[str], None]) -> None:
    actions = {"sea/1.jpg": "remove", "forest/1.jpg": "move to sea"}
    apply_fixes(table_of(tmp_path / "fixes.csv", actions, checked("data"), "data"))
    locked_up("data/forest")
    with pytest.raises(StorageError, match="then harness data undo again") as caught:
        undo_changes()
    assert caught.value.exit_code == 1
    (tmp_path / "data/forest").chmod(0o755)
    undo_changes()
    assert contents(tmp_path / "data") == SIX
