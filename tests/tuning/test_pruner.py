"""The pruner of a trial, on studies with given trials in a real storage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile
from harness.engine.trainer import Trainer
from harness.tuning.prepare import SearchOptions, plan_lines, prepare_search
from harness.tuning.pruner import PRUNED, TrialPruner
from harness.tuning.search_plan import SearchPlan, scored_by_image
from harness.tuning.study import Study
from harness.tuning.trial_record import FoldScores, pooled
from tests.conftest import write_experiment

Prepare = Callable[..., tuple[SearchPlan, Study]]
FOLDS = 3


@pytest.fixture
def prepare(project: Path, scenery: Path) -> Prepare:
    """`prepare("valid_accuracy", groups=...)` prepares a search of 3 folds of 11 images."""

    def prepared(metric: str, **fields: Any) -> tuple[SearchPlan, Study]:
        path = write_experiment(project / "experiments/own.py", scenery, folds=FOLDS, epochs=3, name="own", **fields)
        file = ExperimentFile.run(path)
        return prepare_search(file, file.experiment, SearchOptions(metric=metric, device="cpu"))

    return prepared


def record(fold: int, scores: Any, by_loss: bool = False) -> FoldScores:
    """A fold with these losses, or with these right images."""
    values = np.array(scores, float)
    right, losses = (values < 0.69, values) if by_loss else (values.astype(bool), None)
    return FoldScores(fold, float(values.mean()), right, losses, (0.6, 0.9, 1.0), 1.0, 1.0, f"fold{fold}.pt")


def ended(search: SearchPlan, study: Study, folds: Sequence[FoldScores], why: str = "") -> None:
    """Adds a complete or pruned trial to the study."""
    claim = study.claim(search.total, {})
    assert claim is not None
    for fold in folds:
        study.note(claim.record, f"fold{fold.fold}", fold.to_plain())
    if why:
        study.prune(claim.record, why)
    else:
        study.complete(claim.record, [pooled(folds)])


def trial(*errors: int) -> list[FoldScores]:
    """Folds of 11 images with these numbers of errors."""
    return [record(fold, [0.0] * count + [1.0] * (11 - count)) for fold, count in enumerate(errors, start=1)]


def losses(*means: float) -> list[FoldScores]:
    """Folds with these mean losses; the images' losses differ a little."""
    rng = np.random.default_rng(round(1e6 * sum(means)))
    return [record(fold, mean * rng.uniform(0.8, 1.2, 11), True) for fold, mean in enumerate(means, start=1)]


def test_why_stop_names_the_chance(prepare: Prepare) -> None:
    search, study = prepare("valid_log_loss")
    assert "after 2 complete trials, a trial ends if its chance to become the best is below 5 %" in "\n".join(
        plan_lines(search, study)
    )
    ended(search, study, losses(0.1, 0.11, 0.1))
    pruner = TrialPruner(search, study, search.plan)
    assert pruner.why_stop(None) == ""
    pruner.folds = losses(0.2)
    assert pruner.why_stop(None) == ""  # only one trial is complete
    ended(search, study, losses(0.12, 0.11, 0.12))
    ended(search, study, losses(0.3), why="after fold 1")
    pruner = TrialPruner(search, study, search.plan)
    pruner.folds = losses(0.2)
    assert pruner.why_stop(None).startswith("after fold 1: its chance to beat trial 0 is ")
    pruner.folds = losses(0.09)
    assert pruner.why_stop(None) == ""
    pruner.folds = losses(0.1, 0.3)  # a larger sum than the best trial has in all folds
    assert pruner.why_stop(None) == "after fold 2: it can no longer beat trial 0"
    pruner.folds = losses(0.1, 0.3, 0.3)
    assert pruner.why_stop(None) == ""  # the trial has ended
    assert pruner.why_stop(f"{PRUNED}in fold 3, after epoch 1: why") == "in fold 3, after epoch 1: why"
    assert pruner.callbacks(1) == []  # a loss is not used within a fold
    own = dataclasses.replace(search.plan, experiment=search.experiment.replace(loss=torch.nn.functional.nll_loss))
    lines = plan_lines(dataclasses.replace(search, plan=own, metric="valid_loss"), study)
    assert "  pruning    none: valid_loss is not known for each image; valid_log_loss is" in lines


def test_callbacks_end_a_fold_that_can_no_longer_win(prepare: Prepare) -> None:
    search, study = prepare("valid_accuracy", groups=r"(\d)\.jpg")
    for errors in ((0, 0, 0), (0, 1, 0)):
        ended(search, study, trial(*errors))
    pruner = TrialPruner(search, study, search.plan)
    features, labels = torch.eye(11), torch.zeros(11, dtype=torch.int64)
    model = torch.nn.Linear(11, 2)
    torch.nn.init.constant_(model.weight, 0.0)
    trainer = Trainer(callbacks=pruner.callbacks(1), device="cpu", precision="fp32")
    state = trainer.fit(model, torch.optim.SGD(model.parameters(), 0.0), [(features, labels)], [(features, labels)], 3)
    assert state.stop_reason == f"{PRUNED}in fold 1, after epoch 1: it can no longer beat trial 0"


def test_search_plan_prunes_by_the_log_loss_of_any_loss() -> None:
    own = Experiment(loss=torch.nn.functional.nll_loss)
    assert [scored_by_image(own, metric) for metric in ("valid_accuracy", "valid_log_loss", "valid_loss")] == [1, 1, 0]
    assert scored_by_image(Experiment(), "valid_loss")
    assert not scored_by_image(own, "valid_macro_f1")
