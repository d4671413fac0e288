"""Tests of the choice of result for a report: a run, a study, or the champion's test or run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report.write import write_run_report
from harness.runs.champion_record import ChampionFile, ChampionRecord, ChampionRun, ChampionTest, ComparisonRecord
from harness.runs.contents import PLOTS, is_own, kind_of
from harness.runs.record_file import to_json
from harness.runs.record_parts import GateRecord
from harness.util.disk import Entry
from harness.util.files import md5_of
from harness.workflows.report import find_result, report
from tests.predicted import lay_run, lay_test, lay_trial, predicted
from tests.report.laid import Tags
from tests.report.test_study_page import lay_study


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def champion(home: Path) -> Path:
    """Makes a project with a champion and its test; returns the folder of the test."""
    run = lay_run(Path("runs"), predicted("+" * 55 + "-" * 5))
    test = lay_test(Path("runs"), predicted("+" * 27 + "-" * 3))
    kept = Path("models/history/001")
    kept.mkdir(parents=True)
    for name in ("run.json", "predictions.csv"):
        shutil.copy(run.path / name, kept)
    Path("models/champion.pt").write_bytes(b"weights")
    gate = GateRecord(True, 0.7)
    record = ChampionRecord(
        number=1,
        promoted="2026-01-02T03:04:05+00:00",
        replaced=None,
        forced=True,
        checkpoint=ChampionFile(md5_of(b"weights"), "0" * 64, None),
        test=ChampionTest(accuracy=0.9, interval=[0.74, 0.97], n=30, gate=gate, data="test images", run=test.id),
        run=ChampionRun(name="tiny", id=run.id, accuracy=0.917, interval=[0.82, 0.96], n=60),
        comparison=ComparisonRecord(says="better than the champion before it"),
    )
    for path in (kept / "champion.json", Path("models/champion.json")):
        path.write_bytes(to_json(record))
    return home / test.path


def test_report_of_the_champion_shows_its_test(champion: Path) -> None:
    path = report("champion")
    text = Tags(path.read_text(encoding="utf-8")).text
    assert path == Path("champion-1.html")
    assert "90.0 % accuracy on test images" in text
    assert "number 1, promoted 2 January 2026, 03:04" in text
    assert "better than the champion before it" in text
    assert "Forced: it was promoted with --force, although it did not pass all checks." in text
    assert "91.7 % (82.0 to 96.0 %)" in text


def test_report_of_the_champion_shows_its_run_if_the_test_is_missing(champion: Path) -> None:
    shutil.rmtree(champion)
    text = Tags(report("champion").read_text(encoding="utf-8")).text
    assert "91.7 % out-of-fold accuracy" in text
    assert "Its test is not on this machine, so everything below is about its run." in text
    assert "90.0 % (74.0 to 97.0 %) on 30 images of test images; gate 70.0 %: passed" in text


def test_find_result_finds_runs_trials_tests_and_studies(home: Path) -> None:
    lay_study(home)
    run = lay_run(Path("runs"), predicted("+++"))
    trial = lay_trial(Path("runs"), "tiny", 2, predicted("+++"))
    assert find_result(run.id, Path("runs")).path == run.path
    assert find_result(str(run.path), Path("runs")).path == run.path
    assert find_result("study-tiny/trial-002", Path("runs")).path == trial.path
    assert find_result("tiny", Path("runs")).path == trial.path.parent
    with pytest.raises(UsageError, match="nothing is not a run, test or study"):
        find_result("nothing", Path("runs"))


def test_find_result_refuses_a_name_of_two_studies(home: Path) -> None:
    lay_study(home)
    shutil.copytree("runs/tiny", "runs/other")
    with pytest.raises(UsageError, match="2 studies are called tiny"):
        find_result("tiny", Path("runs"))


def test_write_run_report_skips_runs_without_predictions(home: Path) -> None:
    assert not write_run_report(lay_trial(Path("runs"), "tiny", 2, predicted("+++")))
    assert not write_run_report(lay_run(Path("runs"), predicted("+++"), fast_dev_run=True))
    assert not write_run_report(lay_run(Path("runs")))
    assert not list(home.rglob("report.html"))
    folder = lay_run(Path("runs"), predicted("+++"))
    assert write_run_report(folder)
    assert folder.path / "report.html" in folder.files()


def test_report_file_counts_as_a_plot_of_its_run() -> None:
    entry = Entry(Path("report.html"), 10, (1,), 1)
    assert is_own(entry)
    assert kind_of(entry.path) == PLOTS
