from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.decode import read
from harness.data.fingerprint import fingerprint
from harness.errors import UsageError
from harness.evaluation.predictions import Predictions
from harness.util.escape import from_cell
from harness.workflows.compare.files import FILES, images_csv, pairs_csv, write_files
from harness.workflows.compare.runs import RunComparison, compare_runs
from tests.predicted import lay_run, predicted

WRITTEN = list(FILES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(*sides: Predictions, **fields: object) -> RunComparison:
    folders = [lay_run(Path("runs"), side, **fields) for side in sides]  # type: ignore[arg-type]
    return compare_runs([str(folder.path) for folder in folders])


def with_pictures(home: Path, count: int = 6) -> Predictions:
    """Predictions of real images, which are drawn into `images/`; all are right."""
    side = predicted("+" * count)
    prints = []
    for number, path in enumerate(side.paths):
        (home / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (40 * number, 90, 200)).save(home / "images" / path, "png")
        prints.append(fingerprint(read((home / "images" / path).read_bytes())))
    return dataclasses.replace(side, fingerprints=np.array(prints, np.int64))


def wrong(side: Predictions) -> Predictions:
    return dataclasses.replace(side, probabilities=side.probabilities[:, ::-1])


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))


def test_write_files_writes_two_tables_and_two_plots(home: Path) -> None:
    side = with_pictures(home)
    found = compared(side, wrong(side), side)
    assert write_files(found, home / "out") == (WRITTEN, [])
    assert {path.name for path in (home / "out").iterdir()} == {*WRITTEN, ".again"}
    (home / "images").rename(home / "elsewhere")
    names, notes = write_files(found, home / "out")  # again: the earlier plot must not stay
    assert names == WRITTEN[:3]
    assert notes == ["no plot of images: they are no longer in images; images.csv lists them"]
    assert {path.name for path in (home / "out").iterdir()} == {*WRITTEN[:3], ".again"}


def test_write_files_keeps_other_files(home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine/comparison.csv").write_text("mine")
    found = compared(predicted("++"), predicted("+-"))
    with pytest.raises(UsageError, match="cannot be the folder of a comparison"):
        write_files(found, home / "mine")
    assert (home / "mine/comparison.csv").read_text() == "mine"


def test_write_files_shows_an_image_of_any_run(home: Path) -> None:
    """The images of the first run are missing. Of the second run, one was edited and one is missing."""
    side = with_pictures(home, 4)
    one = lay_run(Path("runs"), side, data={"folder": "gone"})
    other = lay_run(Path("runs"), wrong(side))
    Image.new("RGB", (40, 30), "red").save(home / "images" / side.paths[1], "png")
    (home / "images" / side.paths[2]).unlink()
    names, notes = write_files(compare_runs([one.id, other.id]), home / "out")
    assert names == WRITTEN
    assert notes == ["2 of the 4 images are grey squares, because their files are missing or have changed"]
    with Image.open(home / "out/disagreements.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert ((pixels == 225).all(2)).sum() == pytest.approx(2 * 112 * 112, rel=0.02)
    assert (abs(pixels - (0, 90, 200)) < 10).all(2).sum() > 2000
    assert not (abs(pixels - (255, 0, 0)) < 40).all(2).any()


def test_write_files_shows_no_image_of_a_foreign_run(home: Path) -> None:
    side = with_pictures(home)
    found = compared(side, wrong(side))
    (home / ".harness/runs.jsonl").unlink()
    names, notes = write_files(found, home / "out")
    assert names == WRITTEN[:3]
    assert notes == ["no plot of images: images of runs from another project are not shown; images.csv lists them"]


def test_write_files_of_equal_models(home: Path) -> None:
    names, notes = write_files(compared(predicted("+-"), predicted("+-")), home / "out")
    assert names == WRITTEN[:3]
    assert notes == ["no plot of images: their predictions do not differ"]
    assert rows_of((home / "out/images.csv").read_bytes()) == []


def test_pairs_csv_has_a_line_for_each_pair(home: Path) -> None:
    found = compared(predicted("+" * 40), predicted("-" * 10 + "+" * 30), predicted("+" * 38 + "--"), fast_dev_run=True)
    rows = rows_of(pairs_csv(found))
    assert [(row["first"], row["second"]) for row in rows] == [("A", "B"), ("A", "C"), ("B", "C")]
    first = rows[0]
    pair = found.pairs[0]
    assert float(first["difference"]) == pair.comparison.difference == 0.25
    assert (float(first["low"]), float(first["high"])) == pair.comparison.interval
    assert (float(first["p"]), float(first["p_corrected"])) == (pair.comparison.p, pair.p)
    assert (first["better"], first["more_images"], first["first_accuracy"]) == ("A", "", "1.0")
    assert first["second_caveats"] == "FAST DEV RUN: trained on two batches"
    assert first["verdict"] == pair.verdict()
    assert rows[1]["more_images"] == str(found.pairs[1].more_images)


def test_images_csv_has_no_formulas(home: Path) -> None:
    side = predicted("++++")
    odd = ("=cmd()", "a\nb.jpg", "-x;=1", "\udcff.jpg")
    found = compared(dataclasses.replace(side, paths=odd), wrong(dataclasses.replace(side, paths=odd)))
    content = images_csv(found)
    assert content.count(b"\n") == 5
    rows = rows_of(content)
    assert not any(row["path"].startswith(("=", "-")) for row in rows)
    assert [from_cell(row["path"]) for row in rows] == list(odd)
    assert (rows[0]["true"], rows[0]["A_said"], rows[0]["B_said"]) == ("forest", "forest", "sea")
    assert (rows[0]["A_confidence"], rows[0]["A_right"], rows[0]["B_right"]) == ("0.9", "1.0", "0.0")
