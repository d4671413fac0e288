"""Tests of a table of fixes for images that are symbolic links."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.data.images import Side
from harness.data.listing import list_images
from harness.errors import DataError, StorageError, UsageError
from harness.runs.data_check_record import CheckedImage
from harness.util.files import file_md5
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.links import link_text, links_to, text_elsewhere
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import SIX, checked, contents, six_files, table_of

# the second move fails, and another file takes the old place of the first one
TAKEN = """
import os
from pathlib import Path
from harness.cli.main import main

count, real = 0, os.link
def failing(*arguments, **options):
    global count
    count += 1
    if count == 2:
        Path("data/forest/1.jpg").write_bytes(b"another")
        raise PermissionError(13, "Permission denied")
    return real(*arguments, **options)
def renaming(*arguments, **options):
    raise PermissionError(13, "Permission denied")
os.link, os.rename = failing, renaming
main(["data", "apply", "fixes.csv"])
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return six_files(tmp_path, monkeypatch)


def everything(folder: Path) -> dict[str, object]:
    """Each file and link below a folder, with its content or the text of the link."""
    links = {path.relative_to(folder).as_posix(): os.readlink(path) for path in folder.rglob("*") if path.is_symlink()}  # noqa: PTH115
    return contents(folder) | links


def linked(home: Path, text: str, name: str = "data/sea/zlink.jpg") -> Path:
    """Makes an image that is a link with that text."""
    (home / name).symlink_to(text.format(home=home))
    return home / name


TEXTS = [
    "1.jpg",
    "./1.jpg",
    "../sea/1.jpg",
    "{home}/data/sea/1.jpg",
    "../../shots/9.jpg",
    "{home}/shots/9.jpg",
    "no.jpg",
]


@pytest.mark.parametrize("action", ["remove", "move to forest"])
@pytest.mark.parametrize("text", TEXTS)
def test_apply_moves_a_link_and_undo_restores_the_same_link(home: Path, text: str, action: str) -> None:
    write_files(home / "shots", {"9.jpg": b"nine"})
    link = linked(home, text)
    content = link.read_bytes() if link.exists() else None
    before = everything(home / "data")
    (changes,) = apply_fixes(table_of(home / "fixes.csv", {"sea/zlink.jpg": action}, checked_all(), "data")).changes
    moved = home / "data/forest/zlink.jpg" if action != "remove" else changes.folder / "removed/data/sea/zlink.jpg"
    assert moved.is_symlink()
    assert not os.path.lexists(link)
    assert (moved.read_bytes() if moved.exists() else None) == content
    undo_changes()
    assert everything(home / "data") == before


def checked_all() -> list[CheckedImage]:
    """As `checked`, with the images that cannot be read."""
    images = list_images("data", None, Side.TRAIN)
    return [
        CheckedImage(path, "train", path.partition("/")[0], md5_or_none(images.file(path))) for path in images.paths
    ]


def md5_or_none(file: Path) -> str | None:
    return file_md5(file) if file.exists() else None


@pytest.mark.parametrize("text", ["1.jpg", "{home}/data/sea/1.jpg"])
def test_undo_moves_back_a_link_and_its_target(home: Path, text: str) -> None:
    linked(home, text)
    linked(home, "zlink.jpg", "data/sea/zz.jpg")
    before = everything(home / "data")
    actions = {"sea/1.jpg": "remove", "sea/zlink.jpg": "remove", "sea/zz.jpg": "remove", "forest/1.jpg": "move to sea"}
    apply_fixes(table_of(home / "fixes.csv", actions, checked("data"), "data"))
    assert contents(home / "data").keys() == (SIX.keys() - {"sea/1.jpg", "forest/1.jpg"}) | {"sea/1-2.jpg"}
    assert len(undo_changes(dry_run=True).reverted.moves) == 4
    undo_changes()
    assert everything(home / "data") == before


@pytest.mark.parametrize("action", ["remove", "move to forest"])
@pytest.mark.parametrize("other", ["keep", "move to forest"])
@pytest.mark.parametrize("text", ["1.jpg", "{home}/data/sea/1.jpg", "middle"])
def test_apply_refuses_to_move_the_target_of_a_link(home: Path, text: str, action: str, other: str) -> None:
    (home / "data/sea/middle").symlink_to("../sea/1.jpg")  # not the name of an image
    linked(home, text)
    before = everything(home / "data")
    table = table_of(home / "fixes.csv", {"sea/1.jpg": action, "sea/zlink.jpg": other}, checked("data"), "data")
    with pytest.raises(DataError, match=r"line 5: sea/1.jpg: data/sea/zlink.jpg is a link to it, and would be broken"):
        apply_fixes(table)
    assert everything(home / "data") == before


def test_apply_refuses_to_remove_the_target_of_a_test_image(home: Path) -> None:
    """The two are copies in different splits, and the test image must stay (as in geeqie 782)."""
    write_files(home / "test", SIX)
    linked(home, "../../data/sea/1.jpg", "test/sea/9.jpg")
    images = checked("data", sides={Side.TEST: "test"})
    table = table_of(home / "fixes.csv", {"data/sea/1.jpg": "remove"}, images, "data", folder=".", test_data="test")
    with pytest.raises(DataError, match=r"test/sea/9.jpg is a link to it"):
        apply_fixes(table)
    (home / "test/sea/9.jpg").unlink()
    assert len(apply_fixes(table).plan.changed) == 1


def test_undo_refuses_a_link_whose_text_has_changed(home: Path) -> None:
    linked(home, "1.jpg")
    apply_fixes(table_of(home / "fixes.csv", {"sea/zlink.jpg": "move to forest"}, checked("data"), "data"))
    assert link_text(home / "data/forest/zlink.jpg") == "../sea/1.jpg"
    (home / "data/forest/zlink.jpg").unlink()
    linked(home, "../sea/2.jpg", "data/forest/zlink.jpg")
    with pytest.raises(DataError, match=r"zlink.jpg has changed"):
        undo_changes()


def test_undo_of_a_link_whose_move_was_interrupted(home: Path) -> None:
    """The link is at both places: the second one is moved away."""
    linked(home, "1.jpg")
    before = everything(home / "data")
    apply_fixes(table_of(home / "fixes.csv", {"sea/zlink.jpg": "move to forest"}, checked("data"), "data"))
    linked(home, "1.jpg")
    undo_changes()
    assert everything(home / "data") == before


def test_apply_lists_moved_files_if_it_fails_and_cannot_be_undone(home: Path) -> None:
    actions = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove"}
    table_of(home / "fixes.csv", actions, checked("data"), "data")
    done = subprocess.run([sys.executable, "-c", TAKEN], cwd=home, capture_output=True, text=True, check=False)
    what, why, fix = done.stderr.splitlines()[-3:]
    assert done.returncode == 4
    moved = "1 image is moved (data/forest/1.jpg -> data/sea/1-2.jpg)"
    assert what == f"error: the changes were interrupted, and could not be undone: {moved}"
    assert "Permission denied" in why
    assert "forest/1.jpg is now a different file" in why
    (folder,) = (home / "data-changes").glob("2*")
    assert fix == f"  try: correct the cause, then harness data undo data-changes/{folder.name}"
    (home / "data/forest/1.jpg").unlink()
    undo_changes(folder)
    assert contents(home / "data") == SIX


def test_apply_that_fails_moves_links_back(home: Path) -> None:
    """Moved before the failure: the file and both links to it."""
    links = {f"sea/{name}.jpg" for name in ("a", "b")}
    linked(home, "1.jpg", "data/sea/a.jpg")
    linked(home, "{home}/data/sea/1.jpg", "data/sea/b.jpg")
    name = "x" * 200 + ".jpg"
    room = 4090 - len(str(home / "data/sea")) - len(name) - 2
    deep = "/".join(["d" * 200] * 20)[:room].rstrip("/")
    write_files(home / "data/sea", {f"{deep}/{name}": b"x"})  # its path below `removed` is longer than a system takes
    before = everything(home / "data")
    actions = dict.fromkeys({"sea/1.jpg", *links, f"sea/{deep}/{name}"}, "remove")
    with pytest.raises(StorageError, match="name too long"):
        apply_fixes(table_of(home / "fixes.csv", actions, checked("data"), "data"))
    assert everything(home / "data") == before
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes()


def test_text_elsewhere_points_to_the_same_file_through_linked_folders(tmp_path: Path) -> None:
    write_files(tmp_path, {"far/away/b/1.jpg": b"1", "d/c/2.jpg": b""})
    (tmp_path / "b").symlink_to("far/away/b")
    text = text_elsewhere("../b/1.jpg", tmp_path / "b/link.jpg", tmp_path / "d/c/link.jpg")
    assert text == "../../far/away/b/1.jpg"
    assert text_elsewhere("/x/1.jpg", tmp_path / "b/link.jpg", tmp_path / "d/link.jpg") == "/x/1.jpg"


def test_links_to_ends_if_links_form_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").write_bytes(b"")
    assert links_to([tmp_path / "c"], [tmp_path / name for name in "abc"]) == {}
    assert links_to([tmp_path / "b"], [tmp_path / "a"]) == {tmp_path / "b": tmp_path / "a"}
