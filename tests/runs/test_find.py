from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.runs.find import find_run, trials_named
from tests.predicted import lay_run, lay_trial, predicted

ONE = predicted("+-")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs in an empty project. The project is the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_find_run_accepts_a_folder_an_id_and_the_end_of_an_id(runs: Path) -> None:
    run, _ = lay_run(runs, ONE), lay_run(runs, ONE)
    assert find_run(str(run.path), runs).path == run.path
    assert find_run(run.id, runs).id == run.id
    assert find_run(run.id[-4:], runs).id == run.id
    for number in (1, 2):
        lay_run(runs, ONE).update(id=f"{number}-same")
    with pytest.raises(UsageError) as caught:
        find_run("same", runs)
    assert caught.value.why == f"the ids of 2 runs in {runs} end with it"


def test_find_run_accepts_the_short_name_of_a_trial(runs: Path) -> None:
    first, second = (lay_trial(runs, "wide", number, ONE) for number in (0, 1))
    other = lay_trial(runs, "deep", 1, ONE)
    assert find_run("study-wide/trial-001", runs).id == second.id
    assert find_run("study-wide/trial-001/", runs).id == second.id
    assert find_run("tiny/study-deep/trial-001", runs).id == other.id
    assert find_run("trial-000", runs).id == first.id
    assert find_run(first.id[-4:], runs).id == first.id  # by its id, like a run
    for named, why in {
        "trial-001": "2 runs",
        "study-wide/trial-009": "no run",
        "wide/trial-001": "no run",
        "../tiny/study-wide/trial-001": "no run",
    }.items():
        with pytest.raises(UsageError) as caught:
            find_run(named, runs)
        assert why in caught.value.why, named


def test_find_run_prefers_a_run_to_a_trial_with_the_same_end_of_the_id(runs: Path) -> None:
    lay_trial(runs, "wide", 0, ONE).update(id="1-abcd")
    run = lay_run(runs, ONE)
    run.update(id="2-abcd")
    assert find_run("abcd", runs).path == run.path


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_trials_named_skips_links_to_the_outside_and_damaged_trials(runs: Path) -> None:
    trial = lay_trial(runs, "wide", 0, ONE)
    elsewhere = lay_trial(runs.parent / "elsewhere", "wide", 1, ONE)
    trial.path.with_name("trial-001").symlink_to(elsewhere.path)
    damaged = trial.path.with_name("trial-002")
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    for name, count in {"trial-000": 1, "trial-001": 0, "trial-002": 0}.items():
        assert len(trials_named(f"study-wide/{name}", runs)) == count
