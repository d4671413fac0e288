from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.conftest import Outcome
from tests.data.test_near_copies import saved, textures


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`photos` with two classes of 15 images, a copy of one image in the other class, and a mirrored copy of one."""
    monkeypatch.chdir(tmp_path)
    images = textures(30, seed=2)
    for number, image in enumerate(images):
        folder = Path("photos", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number:02d}.jpg", quality=90)
    saved(images[0], 50).save("photos/b/wrong.jpg")
    ImageOps.mirror(images[2]).save("photos/a/mirrored.jpg")
    return tmp_path


def test_data_check_writes_a_page_and_prints_findings(call: Callable[..., Outcome], photos: Path) -> None:
    outcome = call("data", "check", "photos")
    assert outcome.code == 0
    assert outcome.out.startswith("photos: 32 images (train 32)\n")
    lines = {line.strip().split("  ")[0]: line for line in outcome.out.splitlines()}
    assert "1 set of copies" in lines["The same image in several classes"]
    assert "nothing found" in lines["Unreadable and unusual images"]
    page = Path("runs/data_check/photos.html")
    assert f"  page  {page}\n" in outcome.out
    assert page.read_text().count("data:image/jpeg") >= 4
    assert call("data", "check", "photos").code == 0  # its own page is replaced


def test_data_check_then_apply_then_undo(call: Callable[..., Outcome], photos: Path) -> None:
    before = {path: path.read_bytes() for path in Path("photos").rglob("*.jpg")}
    outcome = call("data", "check", "photos", "--write", "fixes.csv")
    assert "fixes.csv (4 rows)" in outcome.out
    with Path("fixes.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {"a/00.jpg", "b/wrong.jpg", "a/02.jpg", "a/mirrored.jpg"}
    assert {row["action"] for row in rows} == {"keep"}
    for row in rows:
        row["action"] = {"b/wrong.jpg": "remove", "a/mirrored.jpg": "move to b"}.get(row["file"], "keep")
    with Path("fixes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert call("data", "apply", "fixes.csv").code == 0
    assert not Path("photos/b/wrong.jpg").exists()
    assert Path("photos/b/mirrored.jpg").read_bytes() == before[Path("photos/a/mirrored.jpg")]
    assert "32 images" not in call("data", "check", "photos").out
    assert call("data", "undo").code == 0
    assert {path: path.read_bytes() for path in Path("photos").rglob("*.jpg")} == before


def test_data_check_as_json(call: Callable[..., Outcome], photos: Path) -> None:
    outcome = call("data", "check", "photos", "--json")
    found = json.loads(outcome.out)
    assert (found["name"], found["pairs"], found["counts"]) == ("photos", 2, {"train": {"a": 16, "b": 16}})
    assert [copies["is_contradiction"] for copies in found["copies"]] == [True, False]
    assert found["copies"][1]["links"][0]["transform"] == "mirrored"
    assert Path(found["page"]).is_file()


def test_data_check_strict_exits_with_3(call: Callable[..., Outcome], photos: Path) -> None:
    outcome = call("data", "check", "photos", "--strict")
    assert outcome.code == 3
    assert outcome.error_lines[0].startswith("error: photos did not pass the check")
    assert "1 contradiction," in outcome.error_lines[1]
    assert "photos: 32 images" in outcome.out  # the findings are printed before the error
    Path("photos/b/wrong.jpg").unlink()
    Path("photos/a/mirrored.jpg").unlink()
    assert call("data", "check", "photos", "--strict").code == 0


def test_data_check_of_an_experiment(call: Callable[..., Outcome], project: Path) -> None:
    outcome = call("data", "check", "tiny")
    assert outcome.code == 0
    assert outcome.out.startswith("tiny: 33 images")
    assert Path("runs/data_check/tiny.html").is_file()


def test_data_check_refuses_missing_data(call: Callable[..., Outcome], project: Path) -> None:
    for named, code in ((("nowhere",), 2), ((), 4), (("experiments",), 4)):
        outcome = call("data", "check", *named)
        assert outcome.code == code, named
        assert len(outcome.error_lines) == 3


def test_data_check_never_overwrites_foreign_files(call: Callable[..., Outcome], photos: Path) -> None:
    Path("mine.html").write_text("mine")
    Path("mine.csv").write_text("mine")
    for options in (("--out", "mine.html"), ("--write", "mine.csv"), ("--out", "photos")):
        outcome = call("data", "check", "photos", *options)
        assert outcome.code == 2, options
        assert len(outcome.error_lines) == 3
    assert (Path("mine.html").read_text(), Path("mine.csv").read_text()) == ("mine", "mine")
    assert not Path("runs/data_check").exists()  # refused before any image is read


def test_data_check_without_images_in_the_page(call: Callable[..., Outcome], photos: Path) -> None:
    assert call("data", "check", "photos", "--no-images").code == 0
    assert "data:image/jpeg" not in Path("runs/data_check/photos.html").read_text()


def test_data_check_of_one_folder_of_a_split(call: Callable[..., Outcome], photos: Path) -> None:
    shutil.move("photos", "train")
    Path("photos").mkdir()
    shutil.move("train", "photos/train")
    shutil.copytree("photos/train", "photos/test")
    found = json.loads(call("data", "check", "photos", "--json").out)
    assert {side: sum(classes.values()) for side, classes in found["counts"].items()} == {"train": 32, "test": 32}
    assert sum(copies["between_sides"] for copies in found["copies"]) == 30
    assert json.loads(call("data", "check", "photos/train", "--json").out)["counts"].keys() == {"train"}


def test_data_check_of_images_with_transparency_shows_them(call: Callable[..., Outcome], photos: Path) -> None:
    Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save("photos/a/clear.png")
    found = json.loads(call("data", "check", "photos", "--json").out)
    assert [(odd["image"]["path"], odd["kind"]) for odd in found["odd"]] == [("a/clear.png", "blank")]


@pytest.fixture
def labels(photos: Path) -> Path:
    """A table of the images. The file name of one image has no suffix."""
    Path("photos/a/00.jpg").rename("photos/a/first")
    files = sorted(path.as_posix() for path in Path("photos").rglob("*") if path.is_file())
    lines = [f"{file},{file.split('/')[1]}" for file in files]
    Path("labels.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return photos / "labels.csv"


def test_data_check_never_replaces_the_table_or_an_image_that_it_names(
    call: Callable[..., Outcome], labels: Path
) -> None:
    before = {path: path.read_bytes() for path in (labels, Path("photos/a/first"))}
    Path("page.html").symlink_to("labels.csv")
    for data in (("labels.csv",), ("photos", "-s", "test_data=labels.csv"), ("photos", "-s", "valid_data=labels.csv")):
        for options in (("--write", "labels.csv"), ("--out", "page.html"), ("--write", "./photos/../labels.csv")):
            for force in ((), ("--force",)):
                outcome = call("data", "check", *data, *options, *force)
                assert outcome.code == 2, options
                assert "is not replaced" in outcome.error_lines[0]
                assert "it is a table of the images, and would be lost" in outcome.error_lines[1]
                assert "--force" not in outcome.error_lines[2]
    outcome = call("data", "check", "labels.csv", "--out", "photos/a/first", "--force")
    assert "labels.csv names it as an image, and would be lost" in outcome.error_lines[1]
    assert {path: path.read_bytes() for path in before} == before


def test_data_check_does_not_wait_for_a_pipe(call: Callable[..., Outcome], labels: Path) -> None:
    os.mkfifo("p.csv")
    os.mkfifo("p.html")
    for data in (("p.csv",), ("labels.csv", "-s", "valid_data=p.csv")):
        outcome = call("data", "check", *data)
        assert outcome.code == 4
        assert outcome.error_lines[:2] == ["error: p.csv is not a table", "  why: it is a folder, a pipe or a device"]
    outcome = call("data", "check", "labels.csv", "-s", "test_data=p.csv")
    assert "the test images are not checked: p.csv is not a table" in outcome.out
    for force in ((), ("--force",)):
        outcome = call("data", "check", "labels.csv", "--out", "p.html", *force)
        assert (outcome.code, outcome.error_lines[1]) == (2, "  why: it is a pipe or a device")


def test_data_check_json_is_the_only_output_on_stdout(call: Callable[..., Outcome], project: Path) -> None:
    file = project / "experiments/tiny.py"
    file.write_text(file.read_text() + "\nprint('hello from the experiment')\n")
    assert json.loads(call("data", "check", "tiny", "--json").out)["name"] == "tiny"
