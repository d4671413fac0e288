"""`harness new`, and the experiments that it writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome
from tests.workflows.test_look import draw_into, numbered
from tests.workflows.test_new import HOSTILE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(call: Callable[..., Outcome], name: str, *options: str) -> None:
    """Requires that the experiment runs, first as a dry run and then as a fast dev run."""
    assert call("run", name, "--dry-run", *options).code == 0
    assert call("run", name, "--fast-dev-run", "-s", "trackers=", *options).code == 0


def test_new_writes_an_experiment_that_runs(call: Callable[..., Outcome], here: Path) -> None:
    draw_into(here / "photos", *numbered("train/cat", "train/dog", "test/cat", "test/dog", count=3))
    shutil.copy(here / "photos/train/cat/0.png", here / "photos/test/cat/copy.png")
    (here / "photos/train/dog/broken.png").write_bytes(b"<html>")
    done = call("new", "pets", "--data", "photos")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:6] == [
        "images      6 for training in photos: cat 3, dog 3",
        "size        20 x 20 px, colour",
        "baseline    50.0 % by always predicting the most frequent class",
        "test        7 images in photos/test",
        "model       small_cnn from scratch; 3 folds of 30 epochs; gate 0.70",
        "written     experiments/pets.py",
    ]
    assert "note: images that cannot be decoded: dog 1 of 4" in lines
    assert any(
        line.startswith("note: 1 of 7 images in photos/test is also in the training set: cat/copy.png")
        for line in lines
    )
    assert lines[-1] == "next: harness run pets --dry-run --skip-corrupt --allow-leak"
    runs(call, "pets", "--skip-corrupt", "--allow-leak")


def test_new_accepts_two_levels_of_folders_and_tables(call: Callable[..., Outcome], here: Path) -> None:
    names = numbered("siteA/cat", "siteA/dog", "siteB/cat", "siteB/dog", count=2)
    draw_into(here / "sites", *names)
    refused = call("new", "sites", "--data", "sites")
    assert (refused.code, len(refused.error_lines)) == (4, 3)
    assert "-s class_folder=inner" in refused.error_lines[2]
    assert not (here / "experiments/sites.py").exists()
    done = call("new", "sites", "--data", "sites", "-s", "class_folder=inner")
    printed = " ".join(done.out.split())
    assert "possible: 8 images are in 2 folders between class and image: 'siteA/cat/0.png' is in group" in printed
    assert call("run", "sites", "--dry-run").code == 0
    rows = [f"{name},{name.split('/')[1]},{name.split('/')[0]}{name[-5]}" for name in names]
    (here / "sites/list.csv").write_text("\n".join(["file,kind,who", *rows]))
    done = call("new", "table", "--data", "sites/list.csv", "-s", "columns=path=file,label=kind,group=who")
    assert done.code == 0
    assert "4 folds" in done.out  # each person is in both classes
    assert call("run", "table", "--dry-run").code == 0


def test_new_with_hostile_names_executes_no_code(call: Callable[..., Outcome], here: Path) -> None:
    draw_into(here / "photos", *numbered(*HOSTILE, count=2))
    done = call("new", "odd", "--data", "photos")
    assert done.code == 0
    assert all(line.isprintable() for line in done.out.splitlines())
    assert call("run", "odd", "--dry-run").code == 0
    assert sorted(path.name for path in here.iterdir()) == ["experiments", "photos"]


def test_new_in_a_project_folder_uses_only_the_images(call: Callable[..., Outcome], here: Path) -> None:
    draw_into(here, *numbered("cat", "dog", count=2))
    assert "note: this folder contains images" in call("init").out
    assert call("new", "pets", "--data", ".").code == 0
    assert call("run", "pets", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("new", "pets", "--data", "nowhere"), 4, "error: nowhere is not there"),
        (("new", "pets", "--data", "."), 4, "error: . has no classes"),
        (("new", "torch", "--data", "."), 2, "error: 'torch' cannot be the name of an experiment"),
        (("new", "pets"), 2, "error: Missing option '--data'."),
    ],
)
def test_new_refuses_bad_input_in_three_lines(
    call: Callable[..., Outcome], here: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    done = call(*arguments)
    assert (done.code, done.error_lines[0], len(done.error_lines)) == (code, what, 3)
    assert "-s data=" not in done.err
    assert [*here.iterdir()] == []
