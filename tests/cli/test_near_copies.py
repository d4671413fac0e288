"""How a run and a test report near copies between training and test images, or between folds."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageOps

from harness.data.near_copies import find_near_copies
from tests.conftest import Outcome, write_experiment
from tests.data.test_near_copies import saved
from tests.workflows.test_near_copies import IMAGES, put

Call = Callable[..., Outcome]
NUMBER = r"\d+\.\d % \(95 % interval \d+\.\d to \d+\.\d %, n = {}\)"


@pytest.fixture
def near(project: Path) -> Path:
    """The project with `experiments/near.py`: 26 training images with two copies, and 9 test images with one."""
    for number, image in enumerate(IMAGES):
        put(image, Path("near", "train" if number < 24 else "test", "sea" if number % 2 else "forest", f"{number}.png"))
    put(saved(IMAGES[2], quality=40), Path("near/train/forest/2again.png"))
    put(ImageOps.mirror(IMAGES[5]), Path("near/train/sea/5again.png"))
    put(ImageOps.mirror(IMAGES[3]), Path("near/test/sea/again.png"))
    write_experiment(Path("experiments/near.py"), Path("near/train"), test_data="near/test", folds=5, epochs=1)
    return project


def on_one_line(text: str) -> str:
    """A text without the line breaks that make it fit a terminal."""
    return " ".join(text.split())


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def test_run_shows_the_accuracy_without_near_copies(call: Call, near: Path) -> None:
    outcome = call("run", "near")
    assert outcome.code == 0
    assert (
        "warning 1 of 9 test images has a near copy among the training images, so the test accuracy may be too good: "
        "near/test/sea/again.png (near/train/sea/3.png, mirrored); harness data check near shows them"
    ) in on_one_line(outcome.err)
    (count,) = map(int, re.findall(r"warning (\d+) of 26 validation images have a near copy", on_one_line(outcome.err)))
    assert count in (2, 4)
    rest = NUMBER.format(26 - count)
    lacks = rf"{count} of 26 images have a near copy in the training set of their fold"
    line = rf"near copies ({lacks}); without them {rest}"
    shown = re.search(line, on_one_line(outcome.out))
    assert shown
    assert outcome.out.index("baseline  ") < outcome.out.index("near copies  ")
    (folder,) = (near / "runs/near").iterdir()
    assert record(folder)["data"]["near_copies"] == record(folder)["near_copies"]["images"] == count
    assert shown[1] in (folder / "report.html").read_text()


def test_run_in_json_has_the_accuracy_without_near_copies(call: Call, near: Path) -> None:
    output = json.loads(call("run", "near", "--json").out)
    assert output["near_copies"]["images"] + output["near_copies"]["n"] == output["n"] == 26
    low, high = output["near_copies"]["interval"]
    assert low <= output["near_copies"]["accuracy"] <= high
    assert json.loads(call("run", "tiny", "--json").out)["near_copies"] is None


def test_run_without_near_copies_prints_nothing_about_them(call: Call, project: Path) -> None:
    outcome = call("run", "tiny")
    assert "near cop" not in outcome.out + outcome.err
    (folder,) = (project / "runs/tiny").iterdir()
    assert "ear cop" not in (folder / "report.html").read_text()


def test_test_shows_the_accuracy_without_near_copies(call: Call, near: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # making its store takes 10 seconds
    assert call("run", "near", "--refit", "-s", "folds=2").code == 0
    (run,) = (near / "runs/near").iterdir()
    outcome = call("test", run.name, "--min-accuracy", "0", "--summary", "summary.md")
    assert outcome.code == 0
    text = "1 of 9 images has a near copy among the training images; without it "
    assert re.search(rf" near copies {text}{NUMBER.format(8)} ", on_one_line(outcome.out))
    note = (
        "1 of 9 test images has a near copy among the training images, so the accuracy may be too good: "
        "near/test/sea/again.png (near/train/sea/3.png, mirrored); the gate counts all images"
    )
    assert f" warning {note} " in on_one_line(outcome.out)
    assert re.search(rf"- near copies: {text}{NUMBER.format(8)}\n", Path("summary.md").read_text())
    output = json.loads(call("test", run.name, "--min-accuracy", "1", "--json").out)
    assert (output["near_copies"]["images"], output["near_copies"]["n"]) == (1, 8)
    folder = near / output["run_dir"]
    assert record(folder)["data"]["near_copies"] == 1
    assert note in record(folder)["notes"]
    assert text.split(";")[0] in (folder / "report.html").read_text()
    promoted = call("champion", "promote", run.name, "--force")
    assert promoted.code == 0
    assert text in on_one_line(promoted.out)
    assert note in on_one_line(promoted.out)


def test_search_looks_for_near_copies_once(call: Call, near: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def search(*arguments: Any) -> Any:
        searched.append(arguments)
        return find_near_copies(*arguments)

    monkeypatch.setattr("harness.data.copies.find_near_copies", search)
    put(IMAGES[0].rotate(45), Path("near/train/sea/other.png"))
    outcome = call("search", "near", "--trials", "2")
    assert outcome.code == 0
    assert outcome.err.count("1 of 9 test images has a near copy") == 1
    assert len(searched) == 1
    (study,) = (path.parent for path in near.rglob("study.json"))
    count = json.loads((study / "study.json").read_text())["data"]["near_copies"]
    assert count in (2, 4)
    page = (study / "report.html").read_text()
    assert re.search(rf"{count}\svalidation images with a near copy in the training set. So all accuracies", page)


def test_new_reports_near_copies(call: Call, near: Path) -> None:
    outcome = call("new", "ponds_again", "--data", "near")
    assert outcome.code == 0
    text = outcome.out + outcome.err
    assert "1 of 9 test images has a near copy among the training images" in text
    assert (
        "4 of 26 images are near copies of each other, and may be put in different folds: "
        "forest/2.png (forest/2again.png)" in text
    )
