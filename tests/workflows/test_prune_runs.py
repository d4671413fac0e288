"""Tests of the choice of runs to prune, and of protected runs."""

from __future__ import annotations

import dataclasses
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.runs.champion_record import ChampionFile, ChampionRecord, ChampionRun, ChampionTest
from harness.runs.record_file import to_json
from harness.runs.record_parts import DataRecord, FoldRecord, GateRecord, SplitSizes, Status
from harness.runs.run_folder import RunFolder
from harness.workflows.removal.protected import Protection, without_needed
from harness.workflows.removal.prune import Conditions, ranked, seconds_of, to_prune, within_luck
from harness.workflows.removal.stored import stored_runs
from tests.toy import run_record


def add(runs: Path, accuracy: float | None = 0.9, days: float = 0, **fields: object) -> RunFolder:
    """A run of two folds of 50 images that has finished."""
    began = datetime.now().astimezone() - timedelta(days=days)
    folds = [FoldRecord(fold, accuracy or 0.0, 50, 0.1, 1, 1, None, f"fold{fold}.pt", 1.0) for fold in (1, 2)]
    numbers: dict[str, object] = {"accuracy": accuracy, "interval": [0.8, 0.95], "n": 100, "fit_seconds": 1.0}
    values: dict[str, object] = {
        "started": began.isoformat(timespec="milliseconds"),
        "experiment": {"folds": 2, "seed": 0},
        "splits": {"1": SplitSizes(50, 50), "2": SplitSizes(50, 50)},
        "status": Status.FINISHED,
        "judged": "the last epoch",
        "folds": folds if accuracy is not None else [],
        **(numbers if accuracy is not None else {}),
    }
    return RunFolder.create(runs, run_record("tiny", **values | fields))


def pruned(runs: Path, **conditions: object) -> set[Path]:
    every = stored_runs(runs)
    return {item.path for item in to_prune(every, Conditions(**conditions), time.time())}  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def test_to_prune_keeps_the_best_of_each_experiment_on_the_same_images(runs: Path) -> None:
    best, second = add(runs, 0.95), add(runs, 0.94)
    older, newer = add(runs, 0.9, days=2), add(runs, 0.9, days=1)
    optimistic = add(runs, 0.99, judged=None, folds=[dataclasses.replace(each, epochs=5) for each in best.record.folds])
    leaky, fast = add(runs, 0.99, leaked=3), add(runs, 0.99, fast_dev_run=True)
    other_images = add(runs, 0.5, data=DataRecord("images", 100, {"forest": 50, "sea": 50}, "1" * 32 + ".dir"))
    one_fold = add(runs, 0.5, folds=best.record.folds[:1], n=50)
    cut_off = add(runs, None, status=Status.INTERRUPTED)
    doubtful = {optimistic.path, leaky.path, fast.path}
    assert pruned(runs, keep_best=3) == {older.path, *doubtful}  # the newest of equal runs stays
    assert pruned(runs, keep_best=1) == {second.path, older.path, newer.path, *doubtful}
    assert pruned(runs, keep_best=0, statuses=["interrupted"]) == set()  # it meets one of two conditions
    assert pruned(runs, statuses=["interrupted"]) == {cut_off.path}
    assert pruned(runs, keep_best=1, older_than=1.5 * 86400) == {older.path}
    assert len(ranked(stored_runs(runs))) == 3
    kept = {other_images.path, one_fold.path}
    assert kept.isdisjoint(pruned(runs, keep_best=1))
    every = stored_runs(runs)
    luck = within_luck(every, every)
    assert {item.path for item in luck} >= {second.path, older.path, newer.path}
    assert {item.path for item in luck}.isdisjoint(doubtful)


def test_to_prune_counts_links_and_copies_as_one_run(runs: Path) -> None:
    best, second, third = add(runs, 0.95), add(runs, 0.94), add(runs, 0.93)
    for number in range(3):  # in any order of the folder
        (best.path.parent / f"{number}best").symlink_to(best.path.name)
    shutil.copytree(best.path, best.path.with_name("backup"))
    assert pruned(runs, keep_best=1) == {second.path, third.path}
    assert pruned(runs, keep_best=2) == {third.path}


@pytest.mark.parametrize(("age", "seconds"), [("90m", 5400), ("12h", 43200), ("30d", 2592000), ("1.5w", 907200)])
def test_seconds_of_reads_a_number_and_a_unit(age: str, seconds: float) -> None:
    assert seconds_of(age) == seconds


def test_conditions_and_ages_that_are_empty_are_refused() -> None:
    for age in ("30", "d", "-3d", "3 years", "nan"):
        with pytest.raises(UsageError, match="is not an age"):
            seconds_of(age)
    with pytest.raises(UsageError, match="without a condition"):
        Conditions()


def test_protection_keeps_running_and_needed_runs(runs: Path) -> None:
    champion, test, base, named = add(runs), add(runs), add(runs), add(runs)
    fine_tuned = add(runs, experiment={"weights": str(base.path / "checkpoints/fold1.pt")})
    running, source = add(runs, status=Status.RUNNING), add(runs)
    reproduction = add(runs, None, reproduces=source.id, status=Status.FAILED)
    add_champion(champion.id, test.path.name)
    Path("experiments").mkdir()
    Path("experiments/next.py").write_text(f'weights = "{named.path}/checkpoints/model.pt"\n')
    outside = add(Path("elsewhere"))
    (runs / "tiny/linked").symlink_to(outside.path.absolute())
    every = stored_runs(runs)
    going, kept = without_needed(every, every, Protection(runs))
    assert {item.path for item in going} == {fine_tuned.path, reproduction.path, base.path, source.path}
    reasons = {item.path: reason for item, reason in kept.items()}
    assert reasons == {
        champion.path: "champion 1 came from it",
        test.path: "it is the test of champion 1",
        running.path: "it is running",
        named.path: "experiments/next.py names it",
        runs / "tiny/linked": "its folder is a link, or inside a linked folder",
    }
    chosen = [item for item in every if item.path in (base.path, source.path)]
    going, kept = without_needed(chosen, every, Protection(runs))
    assert going == []  # a run that needs it stays
    assert sorted(kept.values()) == [
        f"it holds the weights of {fine_tuned.path}",
        f"it is reproduced by {reproduction.path}",
    ]


def test_protection_finds_the_champion_of_the_project_of_the_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    champion, named, set_by, base = (add(runs) for _ in range(4))
    tuned = add(runs, experiment={"weights": str(base.path / "checkpoints/fold1.pt")})
    add_champion(champion.id, "none")
    Path("experiments/later").mkdir(parents=True)
    Path("experiments/later/next.py").write_text(f'weights = "{named.path}/checkpoints/model.pt"\n')
    Path("params.yaml").write_text(f"set: {{weights: {set_by.path}/checkpoints/model.pt}}\n")
    Path("data/other").mkdir(parents=True)
    for place, typed in (("data", Path("../runs")), ("data/other", runs.absolute()), (".", Path("data/link"))):
        if place == ".":
            typed.symlink_to("../runs")
        with monkeypatch.context() as patch:
            patch.chdir(place)
            every = stored_runs(typed)
            chosen = [item for item in every if item.path.name != tuned.path.name]
            assert without_needed(chosen, every, Protection(typed))[0] == []


def test_protection_refuses_if_the_champion_is_unknown(runs: Path) -> None:
    empty = "outs:\n- {{md5: d751713988987e9331980363e24189ce.dir, size: 0, nfiles: {}, hash: md5, path: models}}\n"
    Path("models.dvc").write_text(empty.format(0))  # as in a new clone before the first champion
    Protection(runs)
    Path("models.dvc").write_text(empty.format(3))
    with pytest.raises(DataError, match="the champion is unknown"):
        Protection(runs)


def add_champion(run_id: str, test: str) -> None:
    tested = ChampionTest(accuracy=0.9, interval=[0.8, 1], n=10, gate=GateRecord(True, 0.7), data="d", run=test)
    record = ChampionRecord(
        number=1,
        promoted="2026-01-01T00:00:00",
        replaced=None,
        forced=False,
        checkpoint=ChampionFile("0" * 32, "0" * 64, None),
        test=tested,
        run=ChampionRun(name="tiny", id=run_id),
    )
    Path("models/history/001").mkdir(parents=True)
    Path("models/history/001/champion.json").write_bytes(to_json(record))
