"""Tests of the table of fixes that is written, and of its suggestions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.runs.data_check_record import (
    CheckedImage,
    CopyKind,
    CopyLink,
    CopySet,
    DataCheckRecord,
    LabelSuspect,
    OddImage,
    OddKind,
)
from harness.util.files import md5_of
from harness.workflows.fixes.read import read_fixes
from harness.workflows.fixes.rows import HEADER
from harness.workflows.fixes.suggest import findings_of
from harness.workflows.fixes.write import write_fixes
from tests.conftest import write_files
from tests.fixes import read_table, record_of

SAME, NEAR = CopyKind.SAME_FILE, CopyKind.NEAR_COPY


def image(path: str, side: str = "train", label: str = "") -> CheckedImage:
    return CheckedImage(path, side, label or path.partition("/")[0], md5_of(path.encode()))


def copies(images: list[CheckedImage], *links: tuple[int, int], kind: CopyKind = NEAR, transform: str = "") -> CopySet:
    labels = {each.label for each in images}
    made = [CopyLink(one, other, kind, transform=transform) for one, other in links]
    return CopySet(images, made, len(labels) > 1, len({each.side for each in images}) > 1, False)


def found(**fields: Any) -> dict[str, tuple[str, str]]:
    """Path -> (suggestion, copy of)."""
    record: DataCheckRecord = record_of([], "data", **fields)
    return {finding.image.path: (finding.suggestion, finding.copy_of) for finding in findings_of(record)}


def test_findings_keep_one_image_of_a_set() -> None:
    three = [image(f"sea/{name}.jpg") for name in "abc"]
    assert found(copies=[copies(three, (0, 1), (1, 2), (0, 2), kind=SAME)]) == {
        "sea/a.jpg": ("", "sea/b.jpg; sea/c.jpg"),
        "sea/b.jpg": ("remove", "sea/a.jpg"),
        "sea/c.jpg": ("remove", "sea/a.jpg"),
    }


def test_findings_remove_only_copies_of_images_that_stay() -> None:
    """B is a copy of A and of C, but A and C are not copies of each other."""
    chain = [image(f"sea/{name}.jpg") for name in "abcd"]
    suggested = found(copies=[copies(chain, (0, 1), (1, 2), (2, 3))])
    assert [path for path, (what, _) in suggested.items() if what != "remove"] == ["sea/b.jpg", "sea/d.jpg"]
    assert suggested["sea/c.jpg"] == ("remove", "sea/b.jpg")


def test_findings_never_remove_a_test_image() -> None:
    four = [image("a/sea/1.jpg", label="sea"), image("b/sea/1.jpg", "valid", "sea")]
    four += [image(f"c/sea/{number}.jpg", "test", "sea") for number in (1, 2)]
    every = [(one, other) for one in range(4) for other in range(one)]
    suggested = found(copies=[copies(four, *every)])
    assert [what for what, _ in suggested.values()] == ["remove", "remove", "", ""]
    assert suggested["a/sea/1.jpg"][1] == "c/sea/1.jpg"


def test_findings_report_a_contradiction_without_a_suggestion() -> None:
    two = [image("sea/1.jpg"), image("forest/12.jpg")]
    suspect = LabelSuspect(two[0], "forest", 0.01, 0.98, "")
    record = record_of([], "data", copies=[copies(two, (0, 1), transform="mirrored")], suspects=[suspect])
    sea, forest = findings_of(record)
    assert (sea.suggestion, forest.suggestion) == ("", "")
    assert "; ".join(sea.reasons) == (
        "near copy of forest/12.jpg (mirrored); contradiction: copies with the labels forest and sea; decide "
        "yourself which is right; label suspect: forest 0.98, sea 0.01"
    )


def test_findings_keep_the_copy_without_other_problems() -> None:
    two = [image("sea/1.jpg"), image("sea/2.jpg")]
    bad = OddImage(two[0], OddKind.UNREADABLE, "it ends too soon")
    assert found(copies=[copies(two, (0, 1))], odd=[bad])["sea/1.jpg"][0] == "remove"
    blurred = OddImage(two[0], OddKind.BLURRED, "")
    assert found(copies=[copies(two, (0, 1))], odd=[blurred])["sea/1.jpg"] == ("remove", "sea/2.jpg")
    suspect = LabelSuspect(two[0], "forest", 0.01, 0.98, "")
    assert [what for what, _ in found(copies=[copies(two, (0, 1))], suspects=[suspect]).values()] == ["remove", ""]


def test_findings_of_suspects_and_odd_images() -> None:
    kinds = [OddImage(image(f"sea/{kind.name}.jpg"), kind, "") for kind in OddKind]
    suspect = LabelSuspect(image("forest/1.jpg"), "sea", 0.01, 0.98, "")
    suggested = found(odd=kinds, suspects=[suspect])
    assert suggested.pop("forest/1.jpg") == ("move to sea", "")
    assert suggested.pop("sea/UNREADABLE.jpg") == suggested.pop("sea/BLANK.jpg") == ("remove", "")
    assert set(suggested.values()) == {("", "")}


def test_findings_suggest_no_label_of_an_inaccurate_or_unsure_model() -> None:
    sure, unsure = (LabelSuspect(image("forest/1.jpg"), "sea", 0.01, share, "") for share in (0.98, 0.6))
    for suspect, right, size in ((unsure, 0.99, 99), (sure, 0.74, 99), (sure, 0.99, 3)):
        record = record_of([], "data", suspects=[suspect])
        counts = {"train": {"forest": size, "sea": 99}}
        (finding,) = findings_of(dataclasses.replace(record, right=right, counts=counts))
        assert (finding.suggestion, finding.likely) == ("", "sea")


def test_findings_remove_a_blank_image_and_suggest_no_label() -> None:
    blank = image("forest/1.jpg")
    odd, suspect = OddImage(blank, OddKind.BLANK, ""), LabelSuspect(blank, "sea", 0.01, 0.98, "")
    assert found(odd=[odd], suspects=[suspect])["forest/1.jpg"][0] == "remove"


def test_findings_keep_the_original_and_not_its_numbered_copy() -> None:
    for second in ("sea/10036 (1).jpg", "sea/10036 - Copy.jpg", "sea/10036_copy2.jpg"):
        two = [image(second), image("sea/10036.jpg")]
        suggested = found(copies=[copies(two, (0, 1), kind=SAME)])
        assert {path: what for path, (what, _) in suggested.items()} == {second: "remove", "sea/10036.jpg": ""}


def test_findings_keep_the_file_and_not_a_link_to_it(tmp_path: Path) -> None:
    """The link sorts first, and geeqie removed the file in such a case (geeqie 782)."""
    write_files(tmp_path, {"sea/b.jpg": b"b"})
    (tmp_path / "sea/a.jpg").symlink_to("b.jpg")
    two = [image("sea/a.jpg"), image("sea/b.jpg")]
    record = record_of([], tmp_path, copies=[copies(two, (0, 1), kind=SAME)])
    assert [finding.suggestion for finding in findings_of(record)] == ["remove", ""]


def test_findings_remove_a_near_copy_of_a_test_image_linked_to_its_twin() -> None:
    """Only the twin of the test image is linked to the near copy. Without the twin, the leak would remain."""
    three = [image("a/sea/1.jpg", label="sea"), image("b/sea/1.jpg", "test", "sea"), image("a/sea/2.jpg", label="sea")]
    links = [CopyLink(0, 1, SAME), CopyLink(0, 2, NEAR)]
    suggested = found(copies=[CopySet(three, links, False, True, False)])
    assert [what for what, _ in suggested.values()] == ["remove", "", "remove"]


def test_findings_suggest_no_label_for_a_test_image() -> None:
    """Test labels that follow a model's predictions would make its accuracy too good."""
    suspect = LabelSuspect(image("test/forest/1.jpg", "test", "forest"), "sea", 0.01, 0.98, "")
    (finding,) = findings_of(record_of([], "data", suspects=[suspect]))
    assert (finding.suggestion, finding.likely) == ("", "sea")
    assert finding.reasons[-1].startswith("decide yourself")


def test_findings_of_a_large_set_are_quick() -> None:
    many = [image(f"sea/{number:04d}.jpg") for number in range(600)]
    every = [(one, other) for one in range(600) for other in range(one)]
    suggested = found(copies=[copies(many, *every)])
    assert [what for what, _ in suggested.values()].count("remove") == 599


def test_write_fixes_has_a_row_per_image_and_keeps_all(tmp_path: Path) -> None:
    one = image("forest/1.jpg")
    odd = [OddImage(one, OddKind.DARK, "mean 3 of 255"), OddImage(one, OddKind.BLURRED, "")]
    record = record_of([], "data", suspects=[LabelSuspect(one, "sea", 0.01, 0.98, "")], odd=odd)
    path = tmp_path / "fixes.csv"
    assert write_fixes(record, path) == 1
    assert path.read_bytes().startswith(b"\xef\xbb\xbffile,side,label,")
    (row,) = read_table(path)
    assert tuple(row) == HEADER
    assert row == {
        "file": "forest/1.jpg",
        "side": "train",
        "label": "forest",
        "likely": "sea",
        "reason": "label suspect: sea 0.98, forest 0.01; dark: mean 3 of 255; blurred",
        "copy_of": "",
        "suggestion": "move to sea",
        "action": "keep",
        "md5": f"md5:{one.md5}",
        "data": "data",
        "settings": "",
    }


def test_write_fixes_replaces_a_file_only_with_force(tmp_path: Path) -> None:
    record = record_of([image("sea/1.jpg")], "data")
    path = tmp_path / "fixes.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        write_fixes(record, path)
    assert path.read_text() == "mine"
    assert write_fixes(record, path, force=True) == 1
    for wrong, why in (
        (tmp_path / "a.xlsx", "is not a CSV file"),
        (tmp_path / "no/a.csv", "does not exist"),
        (tmp_path, "is not a CSV file"),
    ):
        with pytest.raises(UsageError, match=why):
            write_fixes(record, wrong)


@pytest.mark.parametrize("side", ["data", "valid_data", "test_data"])
def test_write_fixes_never_replaces_a_table_of_the_data(tmp_path: Path, side: str) -> None:
    """Neither under its name, nor under the name of a link."""
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n1.jpg,sea\n")
    (tmp_path / "x").mkdir()
    (tmp_path / "link.csv").symlink_to(table)
    (tmp_path / "second.csv").hardlink_to(table)
    record = dataclasses.replace(record_of([image("sea/1.jpg")], tmp_path / "data"), **{side: str(table)})
    for name in ("labels.csv", "x/../labels.csv", "link.csv", "second.csv"):
        for force in (False, True):
            with pytest.raises(UsageError, match="it is a table of the images, and would be lost") as caught:
                write_fixes(record, tmp_path / name, force)
            assert "--force" not in str(caught.value)
    assert table.read_text() == "path,label\n1.jpg,sea\n"
    (tmp_path / "second.csv").unlink()
    table.unlink()  # as before DVC fetches it
    with pytest.raises(UsageError, match="it is a table of the images"):
        write_fixes(record, table, force=True)
    assert write_fixes(record, tmp_path / "fixes.csv") == 1


@pytest.mark.parametrize(
    "name", ["=1+1", "-x", "+x", "@x", "'x", "a;=b", 'a"b', "a,b", "a\nb", "a\\b", "été", "\udcff", "\x1b[2J"]
)
def test_write_fixes_writes_no_formula_and_reads_back_any_name(tmp_path: Path, name: str) -> None:
    one = CheckedImage(f"{name}/{name}.jpg", "train", name, "0" * 32)
    path = tmp_path / "fixes.csv"
    write_fixes(record_of([one], "data"), path)
    text = path.read_bytes().decode("utf-8-sig")
    cells = [cell for row in read_table(path) for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert len(text.splitlines()) == 2
    path.write_bytes(text.replace("keep", "remove").encode())
    (row,) = read_fixes(path).rows
    assert (row.file, row.label) == (one.path, one.label)
