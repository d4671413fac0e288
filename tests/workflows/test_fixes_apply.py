"""Tests of a table of fixes for images in folders: written, edited, applied and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.images import Side
from harness.data.listing import list_images
from harness.errors import DataError, StorageError, UsageError
from harness.runs.data_check_record import CheckedImage
from harness.util.files import md5_of
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import SIX, checked, contents, edit, read_table, save, table_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with six files in `data`."""
    write_files(tmp_path / "data", SIX)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_apply_moves_images_and_undo_moves_them_back(home: Path) -> None:
    before = contents(home / "data")
    actions = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove", "sea/3.jpg": "move to forest"}
    table = table_of(home / "fixes.csv", actions, checked("data"), "data")
    applied = apply_fixes(table)
    assert contents(home / "data") == {
        "forest/3.jpg": b"forest 3",
        "forest/3-2.jpg": b"sea 3",  # its old name is taken
        "sea/1.jpg": b"sea 1",
        "sea/1-2.jpg": b"forest 1",
        "sea/2.jpg": b"sea 2",
    }
    (changes,) = applied.changes
    assert (changes.folder / "removed/data/forest/2.jpg").read_bytes() == b"forest 2"
    assert changes.folder.parent == home / "data-changes"
    assert (home / "data-changes/.gitignore").read_text() == "*\n"
    assert applied.plan.fixes.kept == 3
    assert applied.plan.notes == [
        "renamed, because another file has that name: forest/1.jpg as 1-2.jpg, sea/3.jpg as 3-2.jpg"
    ]
    undone = undo_changes()
    assert contents(home / "data") == before
    assert len(undone.reverted.moves) == 3
    assert undone.reverted.gone == []
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes()


def test_apply_keeps_subfolders_of_a_class(home: Path) -> None:
    write_files(home / "data", {"forest/place A/x.jpg": b"x", "forest/place A/deep/y.jpg": b"y"})
    before = contents(home / "data")
    actions = {"forest/place A/x.jpg": "move to sea", "forest/place A/deep/y.jpg": "move to sea"}
    apply_fixes(table_of(home / "fixes.csv", actions, checked("data"), "data"))
    assert {"sea/place A/x.jpg", "sea/place A/deep/y.jpg"} < contents(home / "data").keys()
    undo_changes("data-changes")
    assert contents(home / "data") == before
    assert not (home / "data/sea/place A").exists()  # apply had made it


def test_apply_warns_if_the_class_folder_becomes_ambiguous(home: Path) -> None:
    """Afterwards both classes have the same subfolders, as in site/class: either level could be the class."""
    write_files(
        home / "places",
        {
            f"{name}/x{number}.jpg": b"%d" % number
            for number, name in enumerate(("forest/A", "forest/B", "sea/C", "sea/D"))
        },
    )
    write_files(home / "places", {"forest/A/9.jpg": b"9", "forest/B/8.jpg": b"8"})
    before, images = contents(home / "places"), checked("places")
    actions = {"forest/A/9.jpg": "move to sea"}
    applied = apply_fixes(table_of(home / "fixes.csv", actions, images, "places"))
    assert ["class_folder=outer" in note for note in applied.notes] == [True]
    with pytest.raises(DataError, match="two levels of folders"):
        list_images("places")
    actions["forest/B/8.jpg"] = "remove"
    assert len(apply_fixes(table_of(home / "fixes.csv", actions, images, "places")).plan.changed) == 1
    undo_changes()
    undo_changes()
    assert contents(home / "places") == before
    assert len(list_images("places")) == 6


def test_apply_finds_the_class_in_the_inner_folder(home: Path) -> None:
    write_files(home / "sites", {f"{site}/{name}": b"%s" % name.encode() for site in "AB" for name in SIX})
    (home / "sites/C/sea").mkdir(parents=True)
    write_files(home / "sites", {"C/sea/9.jpg": b"9"})
    images = checked("sites", class_folder="inner")
    actions = {"A/forest/1.jpg": "move to sea", "C/sea/9.jpg": "move to forest"}
    apply_fixes(table_of(home / "fixes.csv", actions, images, "sites", class_folder="inner"))
    assert (home / "sites/A/sea/1-2.jpg").read_bytes() == b"forest/1.jpg"
    assert (home / "sites/C/forest/9.jpg").read_bytes() == b"9"
    undo_changes()
    assert not (home / "sites/C/forest").exists()
    assert (home / "sites/A/forest/1.jpg").exists()


@pytest.mark.parametrize("named", ["data", "data/train"])
def test_apply_moves_an_image_within_its_split(home: Path, named: str) -> None:
    write_files(home / "data2/train", SIX)
    write_files(home / "data2/test", {"forest/a.jpg": b"a", "forest/b.jpg": b"b"})  # no folder for sea
    (home / "data").rename(home / "old")
    (home / "data2").rename(home / "data")
    fields = {"folder": "data", "test_data": "data/test"} if named != "data" else {}
    images = checked(named, sides={Side.TEST: fields.get("test_data", "data")})
    actions = {"test/forest/a.jpg": "move to sea", "train/forest/1.jpg": "remove"}
    applied = apply_fixes(table_of(home / "fixes.csv", actions, images, named, **fields))
    assert (home / "data/test/sea/a.jpg").read_bytes() == b"a"
    (changes,) = applied.changes
    assert changes.folder.parent == home / "data-changes"
    assert (changes.folder / "removed/data/train/forest/1.jpg").exists()
    undo_changes()
    assert (home / "data/test/forest/a.jpg").exists()
    assert (home / "data/train/forest/1.jpg").exists()


def test_apply_changes_images_in_two_places_and_prints_how_to_undo_each(home: Path, tmp_path: Path) -> None:
    write_files(home / "a/train", SIX)
    write_files(home / "b/test", SIX)
    images = checked("a/train", sides={Side.TEST: "b/test"})
    actions = {"a/train/sea/1.jpg": "remove", "b/test/sea/1.jpg": "remove"}
    table = table_of(home / "fixes.csv", actions, images, "a/train", folder=".", test_data="b/test")
    applied = apply_fixes(table)
    assert [changes.folder.parent for changes in applied.changes] == [home / "a/train-changes", home / "b/test-changes"]
    undo_changes()
    undo_changes()
    assert contents(home / "a/train") == contents(home / "b/test") == SIX


def test_apply_changes_nothing_in_a_dry_run_or_for_keep(home: Path) -> None:
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, checked("data"), "data")
    applied = apply_fixes(table, dry_run=True)
    assert [one.fix.row.file for one in applied.plan.changed] == ["sea/1.jpg"]
    assert applied.changes == []
    table = table_of(table, {"sea/1.jpg": "", "sea/2.jpg": "move to sea"}, checked("data"), "data")
    assert apply_fixes(table).changes == []
    assert contents(home / "data") == SIX
    assert not (home / "data-changes").exists()


def test_apply_refuses_to_leave_a_class_without_training_images(home: Path) -> None:
    actions = {f"sea/{number}.jpg": "remove" for number in (1, 2, 3)}
    table = table_of(home / "fixes.csv", actions, checked("data"), "data")
    with pytest.raises(DataError, match="would leave sea without any train image"):
        apply_fixes(table)
    assert contents(home / "data") == SIX


def test_apply_lists_all_wrong_rows_and_changes_nothing(home: Path) -> None:
    actions = {
        "forest/1.jpg": "move to see",
        "forest/2.jpg": "burn",
        "forest/3.jpg": "move to mountain",
        "sea/1.jpg": "remove",
        "sea/2.jpg": "remove",
    }
    table = table_of(home / "fixes.csv", actions, checked("data"), "data")
    (home / "data/sea/2.jpg").write_bytes(b"other")
    with pytest.raises(DataError) as caught:
        apply_fixes(table)
    error = str(caught.value)
    assert "4 rows of" in error
    assert "line 2: there is no class 'see'; did you mean 'sea'?" in error
    assert "line 3: there is no action 'burn'" in error
    assert "line 4: there is no class 'mountain'; the classes are forest, sea. For a new class" in error
    assert "and 1 more" in error
    assert len(error.splitlines()) == 3
    assert (home / "data/sea/1.jpg").exists()


def test_apply_refuses_an_image_that_has_changed(home: Path) -> None:
    table = table_of(home / "fixes.csv", {"sea/2.jpg": "remove"}, checked("data"), "data")
    (home / "data/sea/2.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"line 6: sea/2.jpg has changed since the check"):
        apply_fixes(table)


def test_apply_refuses_contradicting_rows(home: Path) -> None:
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, checked("data"), "data")
    rows = read_table(table)
    twice = [row for row in rows if row["file"] == "sea/1.jpg"]
    save(table, [*rows, *twice])
    assert len(apply_fixes(table, dry_run=True).plan.changed) == 1  # the same, twice
    save(table, [*rows, *[row | {"action": "move to forest"} for row in twice]])
    with pytest.raises(DataError, match=r"line 8: sea/1.jpg: move to forest, but remove in line 5"):
        apply_fixes(table)
    save(table, [*[row | {"action": "move to sea"} for row in twice], *rows])
    with pytest.raises(DataError, match=r"line 6: sea/1.jpg: remove, but move to sea in line 2"):
        apply_fixes(table)


def test_apply_distinguishes_files_whose_names_differ_in_unicode_form(home: Path) -> None:
    write_files(home / "data", {"sea/\u00e9.jpg": b"NFC", "sea/e\u0301.jpg": b"NFD"})
    if len(list((home / "data/sea").iterdir())) < 5:
        pytest.skip("this disk takes the two names for one")
    images = [image for image in checked("data") if image.md5 == md5_of(b"NFD")]
    apply_fixes(table_of(home / "fixes.csv", {images[0].path: "remove"}, images, "data"))
    assert (home / "data/sea/\u00e9.jpg").exists()
    assert not (home / "data/sea/e\u0301.jpg").exists()
    undo_changes()
    assert (home / "data/sea/e\u0301.jpg").read_bytes() == b"NFD"


def test_apply_undoes_all_moves_if_one_fails(home: Path) -> None:
    name = "x" * 200 + ".jpg"
    room = 4090 - len(str(home / "data/sea")) - len(name) - 2
    deep = "/".join(["d" * 200] * 20)[:room].rstrip("/")
    write_files(home / "data/sea", {f"{deep}/{name}": b"x"})  # its path below `removed` is longer than a system takes
    before = contents(home / "data")
    actions = {"forest/1.jpg": "remove", f"sea/{deep}/{name}": "remove"}
    with pytest.raises(StorageError, match="name too long"):
        apply_fixes(table_of(home / "fixes.csv", actions, checked("data"), "data"))
    assert contents(home / "data") == before
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes()


def test_apply_skips_rows_that_were_already_applied(home: Path) -> None:
    images = checked("data")
    actions = {"sea/1.jpg": "remove", "forest/2.jpg": "move to sea"}
    apply_fixes(table_of(home / "fixes.csv", actions, images, "data"))
    more = actions | {"sea/2.jpg": "move to forest"}
    applied = apply_fixes(table_of(home / "fixes.csv", more, images, "data"))
    assert [one.fix.row.file for one in applied.plan.changed] == ["sea/2.jpg"]
    assert "2 rows were already applied" in applied.plan.notes
    undo_changes()
    undo_changes()
    assert contents(home / "data") == SIX
    assert len(apply_fixes(table_of(home / "fixes.csv", more, images, "data")).plan.changed) == 3


def test_apply_removes_an_image_that_cannot_be_read(home: Path) -> None:
    """A broken link has no MD5."""
    (home / "data/sea/lost.jpg").symlink_to("nowhere.jpg")
    images = [CheckedImage("sea/lost.jpg", "train", "sea", None)]
    (changes,) = apply_fixes(table_of(home / "fixes.csv", {"sea/lost.jpg": "remove"}, images, "data")).changes
    assert (changes.folder / "removed/data/sea/lost.jpg").is_symlink()
    undo_changes()
    assert (home / "data/sea/lost.jpg").readlink() == Path("nowhere.jpg")


def test_apply_refuses_images_in_two_splits(home: Path) -> None:
    images = checked("data", sides={Side.TEST: "data/../data"})
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, images, "data", test_data="data/../data")
    with pytest.raises(DataError, match="are also test images"):
        apply_fixes(table)
    assert contents(home / "data") == SIX


def test_apply_removes_one_of_many_files_with_the_same_bytes(home: Path) -> None:
    copies = {f"sea/copy {number}.jpg": b"sea 1" for number in range(5)}
    write_files(home / "data", copies)
    apply_fixes(table_of(home / "fixes.csv", {"sea/copy 3.jpg": "remove"}, checked("data"), "data"))
    assert contents(home / "data").keys() == (SIX | copies).keys() - {"sea/copy 3.jpg"}


def test_apply_warns_if_a_class_has_no_test_image_left(home: Path) -> None:
    write_files(home / "both/train", SIX)
    write_files(home / "both/test", {"forest/8.jpg": b"8", "sea/9.jpg": b"9"})
    images = checked("both", sides={Side.TEST: "both"})
    applied = apply_fixes(table_of(home / "fixes.csv", {"test/sea/9.jpg": "remove"}, images, "both"))
    assert applied.plan.notes == ["no test image of sea is left in both"]
    actions = {"test/forest/8.jpg": "remove"}
    with pytest.raises(DataError, match="would leave forest without any test image"):
        apply_fixes(table_of(home / "fixes.csv", actions, images, "both"))


def test_apply_reports_where_an_earlier_call_moved_an_image(home: Path) -> None:
    images = checked("data")
    apply_fixes(table_of(home / "fixes.csv", {"sea/1.jpg": "move to forest"}, images, "data"))
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, images, "data")
    with pytest.raises(
        DataError, match=r"line 5: 'sea/1.jpg' is not a train image of data: it was moved to data/forest/1-2"
    ):
        apply_fixes(table)


def test_folder_of_changes_is_not_listed_as_a_class_or_split(home: Path) -> None:
    write_files(home / "pictures/train", SIX)
    table = table_of(home / "fixes.csv", {"sea/1.jpg": "remove"}, checked("pictures/train"), "pictures/train")
    apply_fixes(table)
    assert (home / "pictures/train-changes").is_dir()
    assert len(list_images("pictures")) == 5
    write_files(home / "pictures/test", SIX)
    assert len(list_images("pictures", side=Side.TEST)) == 6


def test_apply_ignores_case_spaces_and_unicode_form_of_a_class(home: Path) -> None:
    write_files(home / "data", {"été bleu/1.jpg": b"1", "été bleu/2.jpg": b"2"})  # NFC on the disk
    images = checked("data")
    table = table_of(home / "fixes.csv", {"sea/1.jpg": " MOVE  to\u00a0 E\u0301te\u0301  Bleu "}, images, "data")
    edit(
        table,
        lambda row: row.update(file=row["file"].replace("é", "e\u0301"), label=row["label"].replace("é", "e\u0301")),
    )
    applied = apply_fixes(table)
    assert [one.fix.label for one in applied.plan.changed] == ["été bleu"]
    assert (home / "data/été bleu/1-2.jpg").read_bytes() == b"sea 1"


def test_apply_warns_if_no_copy_of_an_image_is_left(home: Path) -> None:
    table = table_of(home / "fixes.csv", {"forest/1.jpg": "remove", "forest/2.jpg": "remove"}, checked("data"), "data")
    rows = read_table(table)
    for row, other in zip(rows, ("forest/2.jpg", "forest/1.jpg", "", "sea/2.jpg", "", ""), strict=True):
        row["copy_of"] = other
    save(table, rows)
    notes = apply_fixes(table, dry_run=True).plan.notes
    assert notes == [
        "no copy of these images is left, because all copies are removed or missing: forest/1.jpg, forest/2.jpg"
    ]
    edit(table, lambda row: row.update(action="keep") if row["file"] == "forest/2.jpg" else None)
    assert apply_fixes(table, dry_run=True).plan.notes == []
