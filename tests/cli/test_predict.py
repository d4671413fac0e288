"""`harness predict` on the command line."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Outcome, Tracked

Call = Callable[..., Outcome]


@pytest.fixture
def photos(project: Path, scenery: Path) -> Path:
    """`photos` in the current folder, with two images of a forest and two of the sea."""
    for name in ("forest", "sea"):
        for path in sorted((scenery / name).iterdir())[:2]:
            (project / "photos" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, project / "photos" / name)
    return project / "photos"


def test_predict_prints_one_line_per_image(call: Call, tracked: Tracked, photos: Path) -> None:
    outcome = call("predict", tracked.run.path, "photos", "--device", "cpu")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("photos/forest/")
    assert " %  (" in lines[0]
    assert "its best fold's model" in " ".join(outcome.err.split())
    accuracy, interval = tracked.run.record.accuracy or 0, tracked.run.record.interval or [0, 0]
    low, high = (f"{100 * bound:.1f}" for bound in interval)
    worth = f"{100 * accuracy:.1f} % out of fold (95 % interval {low} to {high} %, n = {tracked.run.record.n})"
    assert f"accuracy    {worth}" in outcome.err


def test_predict_uses_the_latest_run_and_a_list_on_stdin(
    call: Call, tracked: Tracked, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(path) for path in sorted(photos.rglob("*.*"))]
    for text in ("\n".join(names), "\r\n".join(names) + "\r\n", "\0".join(names) + "\0"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        outcome = call("predict", "--runs", tracked.run.path.parents[1], "-", "--json")
        assert [json.loads(line)["path"] for line in outcome.out.splitlines()] == names
        assert len(names) == 4
        assert "the latest finished run; there is no champion" in outcome.err


def test_predict_reads_a_list_with_a_bom_and_names_unreadable_files(
    call: Call, tracked: Tracked, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(next(photos.rglob("*.*")))
    text = f"\ufeff{name}\r\n{'a' * 300_000}\r\n\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    outcome = call("predict", tracked.run.path, "-", "--json")
    assert [json.loads(line)["path"] for line in outcome.out.splitlines()] == [name]
    assert "cannot be read: File name too long" in outcome.err
    assert outcome.code == 0


def test_predict_never_uses_another_model_than_the_named_one(call: Call, tracked: Tracked, photos: Path) -> None:
    runs = tracked.run.path.parents[1]
    Path("model.bin").write_bytes(b"weights of some program")
    for named in ("model.bin", runs, tracked.run.path.parent, tracked.run.path / "run.json"):
        outcome = call("predict", named, "photos", "--runs", runs)
        assert outcome.code == 2
        assert "is neither a model nor an image" in outcome.err
        assert not outcome.out


def test_predict_refuses_an_empty_name(call: Call, tracked: Tracked) -> None:
    outcome = call("predict", tracked.run.path, "")
    assert outcome.code == 2
    assert "a name is empty" in outcome.err


def test_predict_refuses_nan_for_abstain(call: Call) -> None:
    outcome = call("predict", "photo.jpg", "--abstain", "nan")
    assert outcome.code == 2
    assert "nan is not in the range" in outcome.err


def test_predict_json_and_csv_give_the_same_numbers(call: Call, tracked: Tracked, photos: Path) -> None:
    objects = [json.loads(line) for line in call("predict", tracked.run.path, "photos", "--json").out.splitlines()]
    table = list(csv.DictReader(io.StringIO(call("predict", tracked.run.path, "photos", "--csv").out)))
    assert [row["path"] for row in table] == [row["path"] for row in objects]
    for row, plain in zip(table, objects, strict=True):
        assert row["label"] == plain["label"] == plain["top"][0]["label"]
        assert float(row["probability"]) == pytest.approx(plain["probability"])
        assert row["label_2"] == plain["top"][1]["label"]
        assert plain["top"][0]["probability"] + plain["top"][1]["probability"] == pytest.approx(1, abs=1e-5)


def test_predict_csv_escapes_formulas(call: Call, tracked: Tracked, photos: Path) -> None:
    """A spreadsheet executes a cell that begins with "="."""
    shutil.copy(next(photos.glob("sea/*")), "=cmd().png")
    row = call("predict", tracked.run.path, "=cmd().png", "--csv").out.splitlines()[1]
    assert row.startswith("'=cmd().png,")


def test_predict_abstains_below_a_probability(call: Call, tracked: Tracked, photos: Path) -> None:
    outcome = call("predict", tracked.run.path, "photos", "--abstain", "1")
    assert all("  unsure  (" in line for line in outcome.out.splitlines())
    row = json.loads(call("predict", tracked.run.path, "photos", "--abstain", "0", "--json").out.splitlines()[0])
    assert row["unsure"] is False


def test_predict_names_and_counts_unreadable_images(call: Call, tracked: Tracked, photos: Path) -> None:
    (photos / "bad\x1b[2J.jpg").write_bytes(b"no image")
    outcome = call("predict", tracked.run.path, "photos", "none.jpg")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 4
    assert "\x1b" not in outcome.err
    assert "warning: none.jpg cannot be read: not there" in outcome.err
    assert "2 of 6 images cannot be read" in outcome.err


def test_predict_sorts_and_explains_and_overwrites_nothing(call: Call, tracked: Tracked, photos: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    options = ("predict", tracked.run.path, "photos", "--sort", "photos/sorted", "--explain", "photos/maps")
    outcome = call(*options)
    assert outcome.code == 0
    assert "copied      4 images" in outcome.err
    again = call(*options)  # the files in the output folders are not read as images
    assert "copied      0 images to photos/sorted, 4 existed already" in again.err
    assert len(list((photos / "sorted").rglob("*.*"))) == 4
    assert len(list((photos / "maps").glob("*.heatmap.jpg"))) == 4
    assert {path: path.read_bytes() for path in before} == before


def test_predict_features_writes_both_files_once(call: Call, tracked: Tracked, photos: Path) -> None:
    outcome = call("predict", tracked.run.path, "photos", "--features", "f.npy")
    assert outcome.code == 0
    assert np.load("f.npy").shape[0] == 4
    assert len(Path("f.csv").read_text().splitlines()) == 5
    assert call("predict", tracked.run.path, "photos", "--features", "f.npy").code == 2
    assert call("predict", tracked.run.path, "photos", "--features", "f.npy", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("MODEL", "none.jpg"), 4, "no image can be read"),
        (("MODEL", "empty"), 4, "there are no images"),
        (("nothing", "photos"), 2, "nothing is neither a model nor an image"),
        (("MODEL", "photos", "--csv", "--json"), 2, "--csv and --json"),
        (("MODEL", "photos", "--sort", "a.txt"), 2, "a.txt is not a folder"),
        (("MODEL", "photos", "--explain", "a.txt"), 2, "a.txt is not a folder"),
        (("MODEL", "photos", "--sort", "photos"), 2, "are in the output folder photos"),
        (("MODEL", "photos", "--sort", "/proc/none"), 1, "cannot be written"),
        (("MODEL", "photos", "--features", "f.txt"), 2, "is not a NumPy file"),
        (("MODEL", "photos", "--features", "none/f.npy"), 1, "cannot be written"),
        (("MODEL", "a.txt", "--watch"), 2, "--watch needs a folder"),
        (("MODEL", "photos", "--watch", "--features", "f.npy"), 2, "--watch and --features exclude each other"),
        (("MODEL", "photos", "--device", "abacus"), 2, "abacus"),
        (("a.txt.pt", "photos"), 2, "a.txt.pt"),
        (("foreign.pth", "photos"), 2, "does not say its classes"),
        (("CHECKPOINT", "photos", "--ensemble"), 2, "alone.pt is one model"),
        (("bad.onnx", "photos"), 2, "bad.onnx"),
        (("champion", "photos"), 2, "there is no champion"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_predict_refuses_bad_input_in_three_lines(
    call: Call, tracked: Tracked, photos: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    import torch

    Path("a.txt").write_text("text")
    Path("a.txt.pt").write_text("text")
    Path("bad.onnx").write_bytes(b"no ONNX")
    Path("empty").mkdir()
    torch.save({"weight": torch.zeros(2, 2)}, "foreign.pth")
    shutil.copy(tracked.run.checkpoint_of(tracked.run.best_fold() or {}), "alone.pt")  # type: ignore[arg-type]
    words: dict[str, Any] = {"MODEL": tracked.run.path, "CHECKPOINT": Path("alone.pt")}
    outcome = call("predict", *(words.get(word, word) for word in arguments))
    assert outcome.code == code
    assert outcome.out == ""
    errors = [line for line in outcome.error_lines if line.split(":")[0].strip() in ("error", "why", "try")]
    assert len(errors) == 3
    assert says in errors[0]
