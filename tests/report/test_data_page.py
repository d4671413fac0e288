"""The page of a data check: what it says of each kind of finding, and what no name in it can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.data_page import data_page
from harness.runs.data_check_record import DataCheckRecord
from tests.report.checked import checked, everything
from tests.report.laid import Tags


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page_of(record: DataCheckRecord) -> Tags:
    return Tags(data_page(record))


def test_data_page_says_what_was_checked_and_that_nothing_was_found(home: Path) -> None:
    page = page_of(checked())
    assert "240 images were checked" in page.text
    assert "Training 200 images in 2 classes, from 100 to 100 each" in page.text
    assert page.text.count("nothing found") == 7
    assert "no difference found" in page.text
    assert not page.all("img")


def test_data_page_names_each_finding_with_its_number_and_a_link(home: Path) -> None:
    page = page_of(everything())
    ids = {values["id"] for _, values in page.tags if "id" in values}
    links = [link["href"][1:] for link in page.all("a") if link["href"] != "#main"]
    wanted = ["contradictions", "sides", "folds", "copies", "labels", "shortcut", "likeness", "odd"]
    assert links[:8] == wanted
    assert {*links} <= ids
    assert "1 of 40 test images has a copy among the training images" in page.text
    assert len(page.all("img")) == 11  # all but the one that cannot be decoded
