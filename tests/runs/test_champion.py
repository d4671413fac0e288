from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.demo import draw
from harness.engine import checkpoint
from harness.errors import DataError, GateError, ModelError, UsageError
from harness.evaluation.predictions import Predictions
from harness.runs.champion import Champion, alone, history, next_number, note_version, present, rollback
from harness.runs.champion_record import RegistryRecord
from harness.runs.record_file import to_plain
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow import registry
from harness.versioning.tracked import read_tracked, state_of
from harness.workflows.promote import Promotion
from harness.workflows.promote import promote as promote_run
from tests.conftest import Outcome, Tracked, write_experiment

pytestmark = pytest.mark.usefixtures("undrawn")


def promote(named: str, data: str | None = None, refit: bool = False, **options: Any) -> Promotion:
    """Promotes as `harness champion promote --no-refit`, which is faster than with a refit."""
    return promote_run(named, data, refit=refit, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs, `good` and `poor`, and images to test them on."""
    from harness.config.experiment_file import load
    from harness.workflows.crossval import cross_validate

    home = tmp_path_factory.mktemp("trained")
    (home / "experiments").mkdir()
    for part, count in {"train": 60, "unseen": 12}.items():
        for name in ("sea", "forest"):
            (home / part / name).mkdir(parents=True)
            for number in range(count):
                drawn = draw("test" if part == "unseen" else "train", name, number)
                drawn.resize((48, 48)).save(home / part / name / f"{number}.png")
    for name, fields in {
        "good": {"epochs": 8, "lr": 0.01, "image_size": 48},
        "poor": {"epochs": 1, "lr": 1e-8},
    }.items():
        file = write_experiment(
            home / f"experiments/{name}.py", home / "train", test_data=str(home / "unseen"), **fields
        )
        result = cross_validate(load(file), runs=home / "runs", source=file)
        result.run_dir.rename(home / "runs" / name / f"20260101-000000-{name}")
        RunFolder.open(home / "runs" / name / f"20260101-000000-{name}").update(id=f"20260101-000000-{name}")
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project in the current folder."""
    copy = Path(shutil.copytree(trained, tmp_path / "home"))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture(scope="module")
def promoted(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after the promotion of the run `good`."""
    copy = Path(shutil.copytree(trained, tmp_path_factory.mktemp("promoted") / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        promote("good")
    return copy


@pytest.fixture
def after(promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Champion:
    """The champion in a copy of the promoted project, which is the current folder."""
    monkeypatch.chdir(shutil.copytree(promoted, tmp_path / "after"))
    champion = present()
    assert champion is not None
    return champion


@pytest.mark.parametrize("refit", [True, False])
def test_promote_uses_the_refit_or_the_best_fold(home: Path, refit: bool) -> None:
    made = promote("good", refit=refit)
    run = made.run
    model = run.record.refit if refit else run.best_fold()
    assert model is not None
    assert (home / "models/champion.pt").read_bytes() == run.checkpoint_of(model).read_bytes()
    assert made.champion.record.checkpoint.fold == (None if refit else run.best_fold().fold)  # type: ignore[union-attr]
    record = json.loads((home / "models/champion.json").read_text())
    assert (record["number"], record["forced"], record["replaced"]) == (1, False, None)
    assert record["test"]["accuracy"] == made.evaluation.accuracy.value
    assert record["test"]["interval"] == list(made.evaluation.accuracy.interval)
    assert record["run"]["id"] == run.id
    assert record["run"]["data"]["digest"] == run.record.data.digest
    assert present() is not None
    assert made.rivals == ()


def test_promote_below_the_gate_changes_nothing(after: Champion) -> None:
    home = Path()
    before = {path: path.read_bytes() for path in (home / "models").rglob("*") if path.is_file()}
    with pytest.raises(GateError, match="the gate is not met"):
        promote("poor")
    assert {path: path.read_bytes() for path in (home / "models").rglob("*") if path.is_file()} == before


def test_promote_forced_is_recorded(after: Champion) -> None:
    made = promote("poor", force=True)
    assert made.champion.record.forced
    (rival,) = made.rivals
    assert (rival.number, rival.is_present, rival.is_better) == (1, True, True)
    assert rival.comparison.worse > rival.comparison.better + 5
    assert str(rival).startswith("worse than champion 1: -")
    recorded = made.champion.record.comparison
    assert recorded is not None
    assert (recorded.says, recorded.n, recorded.difference) == (str(rival), 24, rival.comparison.difference)
    assert [record.forced for record in history()] == [False, True]
    assert not promote("good", force=True).champion.record.forced  # it passed


def test_promote_refuses_a_significantly_worse_model(after: Champion) -> None:
    file = Path() / "runs/poor/20260101-000000-poor/checkpoints"
    for path in file.glob("*.pt"):
        content = checkpoint.load(path)
        content["experiment"]["min_accuracy"] = 0.1  # a model must not lower its own gate
        checkpoint.save(path, content)
    with pytest.raises(GateError, match="is not promoted") as caught:
        promote("poor", refit=False)
    assert "worse than champion 1" in caught.value.why
    assert present() is not None
    assert len(history()) == 1
    assert promote("poor", force=True).champion.record.forced


def test_promote_of_the_champion_itself_finds_no_difference(after: Champion) -> None:
    with pytest.raises(UsageError, match="is already champion 1"):
        promote("good")
    (rival,) = promote("good", force=True).rivals
    assert (rival.comparison.better, rival.comparison.worse, rival.comparison.p) == (0, 0, 1.0)
    assert str(rival).startswith("equal to champion 1: +0.0 points")


def test_promote_refuses_an_unfinished_run_even_with_force(home: Path) -> None:
    run = RunFolder.open(home / "runs/good/20260101-000000-good")
    run.update(status=Status.RUNNING, folds=run.record.folds[:1])  # its process has ended, as after kill -9
    for force in (False, True):
        with pytest.raises(GateError, match="is not promoted") as caught:
            promote_run("good", force=force)
        assert caught.value.why == "the run has not finished: its status is running, and 1 of 2 folds have ended"
    assert not (home / "models").exists()
    assert run.record.refit is None


def test_promote_needs_force_for_a_slightly_worse_model(home: Path) -> None:
    """Without this rule, many small steps down, each not significant, could make the champion as bad as the gate."""
    predictions = promote("good").evaluation.predictions
    make_worse(home, predictions, 1)
    with pytest.raises(GateError, match="is not promoted") as caught:
        promote("poor")
    assert caught.value.why.startswith("it is worse than champion 1: -4.2 points (95 % interval -")
    assert "no significant difference: a difference of this size needs about " in caught.value.why
    assert caught.value.why.endswith(" more images")
    assert promote("poor", force=True).champion.record.forced
    make_worse(home, predictions, 2)
    made = promote("poor", force=True)
    assert [(rival.number, rival.is_better) for rival in made.rivals] == [(2, True), (1, True)]
    recorded = made.champion.record.best_before
    assert recorded is not None
    assert recorded.says.startswith("worse than champion 1, the best of the history: -8.3 points")
    rollback()
    rollback()
    assert [record.rolled_back is None for record in history()] == [True, False, False]
    assert [rival.number for rival in promote("poor", force=True).rivals] == [1]


def make_worse(home: Path, predictions: Predictions, images: int) -> None:
    """Gives `poor` the model of `good`, changed so that `images` fewer of its `predictions` are right."""
    good = RunFolder.open(home / "runs/good/20260101-000000-good")
    poor = RunFolder.open(home / "runs/poor/20260101-000000-poor")
    model, other = good.best_fold(), poor.best_fold()
    assert model is not None
    assert other is not None
    content = checkpoint.load(good.checkpoint_of(model))
    gaps = np.log(predictions.probabilities[:, 0] / predictions.probabilities[:, 1])
    signs = np.where(predictions.labels == 0, 1, -1)
    biases = np.sort(gaps)[np.sort(gaps) > 0] + 1e-3  # each moves one more image to the second class
    wanted = int(predictions.right.sum()) - images
    bias = next(float(bias) for bias in biases if int((signs * (gaps - bias) > 0).sum()) == wanted)
    head = [name for name in content["model"] if name.endswith("bias")][-1]
    content["model"][head][1] += bias * content.get("temperature", 1.0)
    checkpoint.save(poor.checkpoint_of(other), content)


def test_rollback_restores_the_replaced_champion(home: Path) -> None:
    first = promote("good").champion.record
    promote("poor", force=True)
    assert rollback().record == first
    assert present() == Champion(first)
    third = promote("poor", force=True).champion.record
    assert (third.number, third.replaced) == (3, 1)
    assert rollback().number == 1
    with pytest.raises(UsageError, match="is the first"):
        rollback()


def test_note_version_of_an_earlier_champion_keeps_the_present_one(after: Champion) -> None:
    first = after.record
    note_version(first, "7")
    assert present() == Champion(dataclasses.replace(first, registry=RegistryRecord("7")))
    second = promote("good", force=True).champion.record
    note_version(first, "8")
    assert present() == Champion(second)
    assert [record.registry.version for record in history()] == ["8", None]


def test_history_keeps_the_last_checkpoints_and_all_records(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.champion.CHECKPOINTS_KEPT", 2)
    for _ in range(3):
        promote("good", force=True)
    assert len(history()) == 3
    assert [path.parent.name for path in sorted((home / "models/history").glob("*/*.pt"))] == ["002", "003"]
    assert present() is not None


@pytest.mark.slow
def test_history_keeps_checkpoints_for_rollback_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.champion.CHECKPOINTS_KEPT", 2)
    for _ in range(3):
        promote("good", force=True)
    rollback()  # to 2
    promote("poor", force=True)  # champion 4 replaces champion 2
    assert [path.parent.name for path in sorted((home / "models/history").glob("*/*.pt"))] == ["002", "004"]
    assert rollback().number == 2


def test_install_removes_unfinished_files_of_killed_processes(home: Path) -> None:
    for name in ("models/.champion.pt-0123abcd", "models/history/001/.champion.json-0123abcd", "models/.mine-x"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("half")
    promote("good")
    assert [path.name for path in (home / "models").rglob(".*")] == [".mine-x"]


@pytest.mark.parametrize(
    "change",
    [
        {"number": "1"},
        {"number": 1e400},
        {"replaced": "../../etc"},
        {"promoted": None},
        {"comparison": 5},
        {"test": {"accuracy": 1}},
        {"run": {"name": "x"}},
        {"checkpoint": []},
    ],
)
def test_champion_commands_report_a_damaged_record(
    after: Champion, change: dict[str, object], call: Callable[..., Outcome]
) -> None:
    record, home = after.record, Path()
    (home / "models/champion.json").write_text(json.dumps({**to_plain(record), **change}))
    for verb in ("show", "rollback"):
        outcome = call("champion", verb)
        assert (outcome.code, len(outcome.error_lines)) == (2, 3)
        assert "champion.json cannot be read" in outcome.err
    (home / "models/history/001 (1)").mkdir()  # the name that a file synchroniser gives to a copy
    assert next_number() == 2


def test_promote_refuses_if_models_does_not_match_dvc(after: Champion) -> None:
    home = Path()
    (home / "models.dvc").write_text(f"outs:\n- md5: {'01' * 16}.dir\n  nfiles: 3\n  hash: md5\n  path: models\n")
    with pytest.raises(DataError, match=r"models differs from models\.dvc"):
        promote("poor", force=True)
    shutil.rmtree(home / "models")
    with pytest.raises(DataError, match=r"models differs from models\.dvc"):
        promote("good")


def test_present_restores_the_champion_after_an_interrupted_promotion(after: Champion) -> None:
    before, home = after, Path()
    whole = before.checkpoint.read_bytes()
    before.checkpoint.write_bytes(b"of another, whose champion.json was never written")
    assert present() == before
    assert before.checkpoint.read_bytes() == whole
    (home / "models/history/001/champion.pt").unlink()
    before.checkpoint.write_bytes(b"of another")
    with pytest.raises(ModelError, match="is not champion 1"):
        present()


def test_promote_waits_until_another_champion_is_published(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def publish(*_: object) -> list[str]:
        at_work.set()
        assert go_on.wait(60)
        file = home / "models.dvc"
        file.write_text(f"outs:\n- md5: {'01' * 16}.dir\n  nfiles: 3\n  hash: md5\n  path: models\n")
        md5 = state_of(read_tracked(file)).md5
        file.write_text(file.read_text().replace(f"{'01' * 16}.dir", str(md5)))
        return ["published"]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(promote, "good", publish=publish)
        assert at_work.wait(60)
        second = pool.submit(promote, "poor", force=True)
        err = ""
        while "waiting" not in err:
            assert not second.done()
            err += capsys.readouterr().err
            time.sleep(0.02)
        now = present()  # does not wait
        assert now is not None
        assert now.record.run.id.endswith("good")
        go_on.set()
        assert first.result().notes == ("published",)
        record = second.result().champion.record
    assert f"process {os.getpid()} is changing the champion: waiting for it" in err
    assert (record.number, record.replaced) == (2, 1)
    assert record.comparison is not None


def test_present_waits_for_a_champion_that_is_being_installed(after: Champion) -> None:
    whole = after.checkpoint.read_bytes()
    with ThreadPoolExecutor() as pool, alone():
        after.checkpoint.write_bytes(b"of another, whose champion.json is not written yet")
        found = pool.submit(present)
        with pytest.raises(TimeoutError):
            found.result(0.3)
        assert after.checkpoint.read_bytes().startswith(b"of another")
        after.checkpoint.write_bytes(whole)
        assert found.result(30) == after


def test_champion_commands_with_dvc_and_test(
    home: Path, call: Callable[..., Outcome], new_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(new_database, home / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True, capture_output=True)
    assert call("champion", "show").code == call("test", "champion").code == 2
    outcome = call("champion", "promote", "good", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["number"] == 1
    assert "nfiles" in (home / "models.dvc").read_text()
    assert call("data", "status", "models").out.split()[1] == "clean"
    assert "champion 1: good" in call("champion", "show").out
    tested = call("test", "champion", "--json")
    assert (tested.code, json.loads(tested.out)["checkpoint"]) == (0, "models/champion.pt")
    assert call("champion", "promote", "poor").code == 3
    assert call("champion", "promote", "poor", "--force").code == 0
    assert call("test", "champion").code == 3
    assert call("champion", "rollback").code == 0
    assert call("data", "status", "models").out.split()[1] == "clean"
    shutil.rmtree(home / "runs/good")  # as on a machine that has only pulled the champion
    again = json.loads(call("reproduce", "champion", "--json").out)
    assert again["outcome"] == "bit-identical"
    rows = json.loads(call("champion", "history", "--json").out)
    assert (rows["champion"], [row["number"] for row in rows["champions"]]) == (1, [1, 2])


@pytest.mark.slow
def test_mlflow_registry_has_the_champion_weights_once(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenery: Path
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    shutil.copytree(tracked.project / "mlruns", tmp_path / "mlruns")
    shutil.copy(tracked.project / "mlflow.db", tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    shutil.copytree(tracked.run.path, tmp_path / "runs/tiny" / tracked.run.id)
    made = promote(tracked.run.id, str(scenery), refit=True, force=True)
    versions = {registry.register(made.run.path, made.champion.record) for _ in range(2)}
    assert versions == {"1"}
    registry.set_alias("1", made.champion.record)
    loaded = mlflow.pytorch.load_model(f"models:/{registry.NAME}@{registry.ALIAS}").state_dict()
    ours = checkpoint.load(made.champion.checkpoint)["model"]
    assert set(loaded) == set(ours)
    assert all(torch.equal(loaded[name], weights) for name, weights in ours.items())
