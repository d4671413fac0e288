"""Label suspects in the report of a run: the images and their texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.evaluation.predictions import Predictions
from harness.report.gallery import Room
from harness.report.label_gallery import label_gallery, mean_predictions
from harness.report.run_page import run_page
from harness.runs.run_folder import RunFolder
from tests.predicted import lay_run, lay_test, predicted
from tests.report.laid import Tags, picture


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def repeats(*said: float) -> RunFolder:
    """A run with one repeat for each of `said`.

    `said` has the probabilities of forest for the first image, whose label is sea. The other seven images are predicted
    right, with a probability of 0.9.
    """
    parts = []
    for fold, first in enumerate(said, 1):
        part = predicted("+" * 8, fold=fold, first=1)  # images with odd numbers show the sea
        shares = part.probabilities.copy()
        shares[0] = first, 1 - first
        parts.append(Predictions(part.classes, part.paths, part.folds, part.labels, shares))
    return lay_run(Path("runs"), *parts)


def lay_images(folder: RunFolder) -> Path:
    """Writes an image for each prediction."""
    root = Path("images")
    for number, path in enumerate({*folder.predictions().paths}):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(picture(number))
    return root


def test_mean_predictions_are_means_over_repeats() -> None:
    paths, labels, means, most = mean_predictions(repeats(0.95, 0.85, 0.99))
    assert paths[:2] == ["sea/1.jpg", "forest/2.jpg"]
    assert labels.tolist() == [1, 0] * 4
    assert means[0] == pytest.approx([0.93, 0.07])
    assert means.dtype == np.float32
    assert most == 3


def test_mean_predictions_leaves_out_folds_that_are_not_in_the_record() -> None:
    folder = repeats(0.9, 0.1)
    folder.update(folds=folder.record.folds[:1])
    assert mean_predictions(folder)[2][0] == pytest.approx([0.9, 0.1])


def test_label_gallery_has_the_label_and_the_likely_class() -> None:
    folder = repeats(0.95, 0.91)
    found = label_gallery(folder, lay_images(folder))
    assert found is not None
    assert (found.suspects, found.images, found.repeats) == (1, 8, 2)
    (item,) = found.items
    assert (item["path"], item["label"], item["likely"]) == ("sea/1.jpg", "sea", "forest")
    assert (item["given"], item["sure"]) == ("7.0 %", "93.0 %")
    assert found.size == len(item["picture"].address)


def test_label_gallery_is_none_without_suspects_and_without_predictions() -> None:
    assert label_gallery(lay_run(Path("runs"), predicted("+" * 60)), None) is None
    assert label_gallery(lay_run(Path("runs")), None) is None


def test_label_gallery_of_a_test_is_none() -> None:
    mostly_right = predicted("+" * 50 + "-")
    run = lay_run(Path("runs"), mostly_right)
    assert label_gallery(run, None) is not None
    test = lay_test(Path("runs"), mostly_right)
    test.update(folds=run.record.folds)  # even if its record names folds, which never happens
    assert label_gallery(test, None) is None


def test_run_page_lists_and_counts_label_suspects() -> None:
    folder = lay_run(Path("runs"), predicted("+" * 55 + "-" * 5))
    page = Tags(run_page(folder))
    assert "5 of 60 labels are doubtful" in page.text
    assert "Check each of them: the model can be wrong" in page.text
    assert "label sea, 10.0 %" in page.text
    assert {"href": "#labels"} in page.all("a")
    few = Tags(run_page(folder, Room(10, 10, 20, 2)))
    assert "The first 2 are listed, the most suspicious at the top." in few.text


@pytest.mark.parametrize("lay", [lay_run, lay_test])
def test_run_page_without_label_suspects_has_no_section_on_them(lay: object) -> None:
    found = predicted("+" * 60) if lay is lay_run else predicted("+" * 55 + "-" * 5)
    page = Tags(run_page(lay(Path("runs"), found)))  # type: ignore[operator]
    assert "Labels to check" not in page.text
    assert {"href": "#labels"} not in page.all("a")
