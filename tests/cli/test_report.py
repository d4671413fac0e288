"""`harness report` on the command line: which results have a report, where it is written, and what is refused."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runs.record_parts import Status
from tests.conftest import Outcome, Tracked
from tests.predicted import lay_run, lay_test, lay_trial, predicted
from tests.report.laid import Tags, lay_pictures
from tests.report.test_study_page import lay_study

Call = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the current folder, with a run whose id ends with good."""
    monkeypatch.chdir(tmp_path)
    folder = lay_pictures(tmp_path, ("forest", "sea"), [(0, 0, 0.9)] * 20 + [(1, 0, 0.9)])
    folder.update(id="20260101-000000-good")
    return tmp_path


def text_of(path: Path) -> str:
    return Tags(path.read_text(encoding="utf-8")).text


def test_report_is_written_to_the_run_folder(call: Call, home: Path) -> None:
    outcome = call("report", "good")
    assert (outcome.code, outcome.err) == (0, "")
    (path,) = home.rglob("report.html")
    assert outcome.out.startswith(f"{path.relative_to(home)}  ")
    assert path.parent.parent.parent == home / "runs"
    assert "1 of 21 predictions are wrong" in text_of(path)
    assert call("report", "good").code == 0  # harness report may replace its own file


def test_report_of_a_test_and_of_a_trial(call: Call, home: Path) -> None:
    lay_test(Path("runs"), predicted("+" * 9 + "-")).update(id="2026-test")
    lay_trial(Path("runs"), "tiny", 3, predicted("+" * 10))
    assert call("report", "2026-test", "--out", "test.html").code == 0
    assert "90.0 % accuracy on test images" in text_of(home / "test.html")
    assert call("report", "study-tiny/trial-003", "--out", "trial.html").code == 0
    assert "100.0 % out-of-fold accuracy" in text_of(home / "trial.html")


def test_report_no_images_lists_errors_by_name(call: Call, home: Path) -> None:
    assert call("report", "good", "--out", "a.html", "--no-images").code == 0
    page = Tags((home / "a.html").read_text(encoding="utf-8"))
    assert not page.all("img")
    assert "sea/020.jpg" in page.text
    assert "The images are left out of this file because of --no-images." in page.text


@pytest.mark.parametrize("named", ["tiny", "study-tiny", "runs/tiny/study-tiny"])
def test_report_finds_a_study_by_name_or_folder(call: Call, home: Path, named: str) -> None:
    lay_study(home)
    assert call("report", named).code == 0
    assert "Study of tiny" in text_of(home / "runs/tiny/study-tiny/report.html")


def test_report_keeps_a_file_that_is_not_a_report(call: Call, home: Path) -> None:
    (home / "letter.html").write_text("<p>Dear harness report")
    outcome = call("report", "good", "--out", "letter.html")
    assert outcome.code == 2
    assert outcome.error_lines == [
        "error: letter.html is there already",
        "  why: it was not written by harness",
        "  try: --out with another file, or --force to replace it",
    ]
    assert (home / "letter.html").read_text() == "<p>Dear harness report"
    assert call("report", "good", "--out", "letter.html", "--force").code == 0
    assert "1 of 21 predictions are wrong" in text_of(home / "letter.html")


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("good", "--out", "images"), 2, "error: images is a folder"),
        (("nothing",), 2, "error: nothing is not a run, test or study"),
        (("champion",), 2, "error: there is no champion"),
        (("good", "--out", "images/forest/000.jpg/x.html"), 1, "error: images/forest/000.jpg/x.html cannot be written"),
        (("begun",), 2, "error: runs/tiny/begun has no predictions to report on"),
        (("damaged",), 2, "error: runs/tiny/damaged/predictions/fold1.npz cannot be read"),
        (("lost",), 2, "error: runs/tiny/lost has no predictions to report on"),
    ],
)
def test_report_refuses_bad_input_in_three_lines(
    call: Call, home: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    lay_run(Path("runs"), path=Path("runs/tiny/begun"), status=Status.INTERRUPTED).update(id="begun")
    for name in ("damaged", "lost"):
        lay_run(Path("runs"), predicted("+++"), path=Path("runs/tiny") / name).update(id=name)
    (home / "runs/tiny/damaged/predictions/fold1.npz").write_bytes(b"PK no more")
    shutil.rmtree(home / "runs/tiny/lost/predictions")
    (home / "runs/tiny/lost/predictions.csv").unlink()
    outcome = call("report", *arguments)
    assert outcome.code == code
    assert len(outcome.error_lines) == 3
    assert outcome.error_lines[0].startswith(what)
    assert outcome.out == ""
    assert not list(home.rglob("report.html"))


def test_report_on_a_full_disk_keeps_the_old_report(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("report", "good", "--out", "a.html").code == 0
    before = (home / "a.html").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    outcome = call("report", "good", "--out", "a.html")
    assert outcome.code == 1
    assert len(outcome.error_lines) == 3
    assert (home / "a.html").read_bytes() == before
    assert [path.name for path in home.iterdir() if path.name.startswith(".a.html")] == []


def test_report_follows_no_link_out_of_the_run_folder(call: Call, home: Path) -> None:
    (home / "mine.html").write_text("mine")
    (path,) = (home / "runs/tiny").glob("*")
    (path / "report.html").symlink_to(home / "mine.html")
    assert call("report", "good").code == 2
    assert (home / "mine.html").read_text() == "mine"


def test_report_open_opens_the_browser(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert call("report", "good", "--out", "a b.html", "--open").code == 0
    assert opened == [(home / "a b.html").as_uri()]


def test_report_is_in_the_study_and_mlflow_but_not_in_trials(studied: Tracked) -> None:
    study = studied.run.path.parent
    assert "expected if the best settings are trained again" in text_of(study / "report.html")
    assert not list(study.glob("trial-*/report.html"))
    client = studied.client()
    (experiment,) = client.search_experiments(filter_string="name = 'tiny'")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`harness.role` = 'study'")
    assert "report.html" in [each.path for each in client.list_artifacts(run.info.run_id)]
