"""Tests of the refit: one model trained on all images."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.engine import checkpoint
from harness.engine.trainer import Callback, State
from harness.errors import DataError, UsageError, UserCodeError
from harness.models.saved import load_model
from harness.runs.record_parts import RefitRecord, Status
from harness.runs.run_folder import RunFolder
from harness.training.plan import Plan
from harness.training.refit import refit as train_on_all_images
from harness.training.refit import refit_split
from harness.workflows.crossval import cross_validate
from harness.workflows.ensemble import fold_models
from harness.workflows.find_checkpoint import find_checkpoint
from harness.workflows.make_plan import make_plan
from harness.workflows.refit import refit_run, refitting
from harness.workflows.test import evaluate
from tests.toy import SMALL

pytestmark = pytest.mark.usefixtures("undrawn")


def run(data: Path, runs: Path, refit: bool = True, **fields: Any) -> RunFolder:
    plan = make_plan(SMALL.replace(data=str(data), **fields), device="cpu")
    return RunFolder.open(cross_validate(plan, runs=runs, refit=refit).run_dir)


class Sees(Callback):
    """Records the number of training images of each epoch, and the phases."""

    seen: list[tuple[float, tuple[str, ...]]] = []

    def on_epoch_end(self, state: State) -> None:
        self.seen.append((state.history[-1]["train_examples"], state.phases))


def test_refit_trains_on_all_images_with_the_recipe_of_a_fold(scenery: Path, tmp_path: Path) -> None:
    Sees.seen.clear()
    folder = run(scenery, tmp_path, callbacks=[Sees()])
    record = folder.record.refit
    assert record is not None
    assert (record.images, record.inner, record.epoch, record.epochs) == (33, 0, 2, 2)
    assert Sees.seen[:6] == [(22, ("train", "valid"))] * 6
    assert Sees.seen[6:] == [(33, ("train",))] * 2
    rows = [json.loads(line) for line in (folder.path / "refit.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert "valid_loss" not in rows[0]
    assert len(folder.epochs()) == 6  # only those of the folds
    saved = load_model(folder.checkpoint_of(record))
    assert saved.is_refit
    assert saved.fold is None
    assert len(saved.trained_on or ()) == 33


def test_evaluate_uses_the_refit_or_the_best_fold(scenery: Path, tmp_path: Path) -> None:
    folder = run(scenery, tmp_path, refit=False)
    best = folder.best_fold()
    assert best is not None
    assert find_checkpoint(str(folder.path), tmp_path) == folder.checkpoint_of(best)
    record = refit_run(folder)
    assert find_checkpoint(str(folder.path), tmp_path) == folder.checkpoint_of(record)
    folder.checkpoint_of(record).unlink()
    assert find_checkpoint(str(folder.path), tmp_path) == folder.checkpoint_of(best)


def test_refit_run_gives_the_same_model_as_a_refit_in_the_run(scenery: Path, tmp_path: Path) -> None:
    weights = []
    for refit in (True, False):
        folder = run(scenery, tmp_path, refit=refit)
        record = folder.record.refit or refit_run(folder)
        weights.append(checkpoint.load(folder.checkpoint_of(record))["model"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_refit_uses_an_inner_part_of_all_images_for_early_stopping(scenery: Path, tmp_path: Path) -> None:
    plan = make_plan(SMALL.replace(data=str(scenery), patience=1), device="cpu")
    split = refit_split(plan)
    assert split.valid == ()
    assert (len(split.train), len(split.inner)) == (26, 7)
    assert split.training_side == tuple(range(33))
    folder = run(scenery, tmp_path, patience=1, epochs=30, epoch="best", lr=1e-7)
    record = folder.record.refit
    assert record is not None
    assert (record.images, record.inner) == (26, 7)
    assert record.epoch < record.epochs < 30
    assert "inner_accuracy has not improved" in (record.stop_reason or "")


class ReadsValidation(Callback):
    def on_epoch_end(self, state: State) -> None:
        print(state.history[-1]["valid_loss"])


def test_refit_names_a_callback_that_needs_validation_images(scenery: Path, tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=r"ReadsValidation\.on_epoch_end") as caught:
        run(scenery, tmp_path, callbacks=[ReadsValidation()])
    assert "valid_loss: this fit has no validation images" in caught.value.why
    (path,) = (tmp_path / "small").iterdir()
    assert len(RunFolder.open(path).record.folds) == 3  # the folds are complete


def test_refit_run_refuses_unfinished_runs_and_other_images(scenery: Path, tmp_path: Path) -> None:
    folder = run(scenery, tmp_path, refit=False)
    folder.update(status=Status.INTERRUPTED)
    with pytest.raises(UsageError, match="cannot be refitted") as caught:
        refit_run(folder)
    assert caught.value.why == "its status is interrupted"
    folder.update(status=Status.FINISHED, data=dataclasses.replace(folder.record.data, digest="0" * 32 + ".dir"))
    with pytest.raises(DataError, match="differ from those of the run"):
        refit_run(folder)


class WaitsInRefit(Callback):
    """Pauses the fit on all images after its first epoch, until it is released."""

    at_work, go_on = threading.Event(), threading.Event()

    def on_epoch_end(self, state: State) -> None:
        if "valid" not in state.phases:
            self.at_work.set()
            assert self.go_on.wait(60)


def test_refit_run_waits_for_the_model_of_another_process(
    scenery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Threads are used instead of processes."""
    WaitsInRefit.go_on.set()
    path = run(scenery, tmp_path, callbacks=[WaitsInRefit()]).path
    WaitsInRefit.go_on.clear()
    WaitsInRefit.at_work.clear()
    first, second = RunFolder.open(path), RunFolder.open(path)
    plan = make_plan(SMALL.replace(data=str(scenery), callbacks=[WaitsInRefit()]), device="cpu")
    with ThreadPoolExecutor() as pool:
        made = pool.submit(refit_as, first, plan)
        assert WaitsInRefit.at_work.wait(60)
        assert RunFolder.open(path).model_to_use() == first.best_fold()  # not a partly trained model
        taken, err = pool.submit(refit_run, second), ""
        while "waiting" not in err:
            assert not taken.done()
            err += capsys.readouterr().err
            time.sleep(0.02)
        WaitsInRefit.go_on.set()
        assert taken.result() == made.result() == RunFolder.open(path).record.refit
    assert f"waiting for process {os.getpid()}, which trains this model" in err
    assert len((path / "refit.jsonl").read_text().splitlines()) == 2


def refit_as(folder: RunFolder, plan: Plan) -> RefitRecord:
    """`refit_run` with a given plan, because the callback of a test is in no experiment file."""
    with refitting(folder) as made:
        return made or train_on_all_images(plan, folder)


@pytest.mark.slow
def test_ensemble_is_the_mean_of_the_fold_models(scenery: Path, tmp_path: Path) -> None:
    folder = run(scenery, tmp_path)
    path, models = find_checkpoint(str(folder.path), tmp_path), fold_models(str(folder.path), tmp_path)
    evaluation = evaluate(
        load_model(path), path, scenery, ensemble=models, allow_leak=True, runs=tmp_path, device="cpu", trackers=[]
    )
    alone = [
        evaluate(model, path, scenery, allow_leak=True, runs=tmp_path, device="cpu", trackers=[]).predictions
        for model in models
    ]
    joint = evaluation.ensemble
    assert joint is not None
    assert joint.models == 3
    mean = sum(each.probabilities for each in alone) / 3
    assert joint.predictions.probabilities == pytest.approx(mean)
    assert joint.comparison.better == int((joint.predictions.right & ~evaluation.predictions.right).sum())
    assert joint.cost > 0
    record = RunFolder.open(evaluation.run_dir).record.ensemble  # type: ignore[attr-defined]
    assert (record.models, record.accuracy) == (3, joint.predictions.accuracy.value)


def test_fold_models_refuses_a_run_of_one_fold(scenery: Path, tmp_path: Path) -> None:
    folder = run(scenery, tmp_path, refit=False, folds=0)
    with pytest.raises(UsageError, match="has no ensemble"):
        fold_models(str(folder.path), tmp_path)
