from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.experiment import Experiment
from harness.engine import checkpoint
from harness.engine.trainer import Callback, State
from harness.errors import TrainingError
from harness.runs.run_folder import RunFolder
from harness.training.fit import FoldResult, train
from harness.training.model import new_model
from harness.training.plan import Workers, choose_workers
from harness.workflows.make_plan import make_plan
from tests.toy import run_record

SMALL = Experiment(model="small_cnn", weights=None, image_size=32, epochs=1, batch_size=8, precision="fp32")


def test_choose_workers_uses_loaders_for_augmentation_on_a_gpu() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_workers(3, False, cpu) == Workers(3, 3)
    assert [choose_workers("auto", augmented, cpu) for augmented in (False, True)] == [Workers(0, 0)] * 2
    assert choose_workers("auto", False, cuda) == Workers(0, 0)
    workers = choose_workers("auto", True, cuda)
    assert 1 <= workers.training <= 16 or sys.platform != "linux"
    assert workers.validation == 0
    assert choose_workers("auto", True, cuda, batch=10**6, free=2 * 10**6) == Workers(0, 0)  # a small /dev/shm


def test_new_model_depends_only_on_the_seed_and_the_fold() -> None:
    def head(seed: int, fold: int) -> list[float]:
        model = new_model(SMALL.replace(seed=seed), None, ["a", "b"], fold)
        return list(model.state_dict()["head.bias"].tolist())

    assert head(0, 1) == head(0, 1)
    assert len({tuple(head(seed, fold)) for seed in (0, 1) for fold in (1, 2)}) == 4


def trained(data: Path, runs: Path, **fields: Any) -> FoldResult:
    """Trains one epoch with a hold-out split."""
    plan = make_plan(SMALL.replace(data=str(data), folds=0, **fields), device="cpu")
    return train(plan, 1, RunFolder.create(runs, run_record()))


@pytest.mark.parametrize(
    ("field", "value", "setting"),
    [
        ("optimizer", "adamw", ("decoupled_weight_decay", True)),
        ("optimizer", "sgd", ("momentum", 0.9)),
        ("optimizer", torch.optim.RMSprop, ("alpha", 0.99)),
        ("weight_decay", 0.25, ("weight_decay", 0.25)),
        ("lr", 0.125, ("lr", 0.125)),
        ("scheduler", "cosine", ("lr", 0.0)),
        ("scheduler", torch.optim.lr_scheduler.CosineAnnealingLR, ("lr", 0.0)),
        ("scheduler", "onecycle", ("max_lr", 1e-3)),
    ],
)
def test_train_uses_the_named_optimizer(
    field: str, value: Any, setting: tuple[str, Any], scenery: Path, tmp_path: Path
) -> None:
    groups: list[dict[str, Any]] = []

    class Watch(Callback):
        def on_fit_end(self, state: State) -> None:
            groups[:] = [dict(group) for group in state.optimizer.param_groups]

        def __deepcopy__(self, memo: object) -> Watch:
            return self

    trained(scenery, tmp_path, callbacks=[Watch()], **{field: value})
    assert groups[0][setting[0]] == pytest.approx(setting[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", lambda logits, targets: 2 * torch.nn.functional.cross_entropy(logits, targets)),
        ("augment", torch.flipud),
    ],
)
def test_train_uses_functions_of_the_experiment(field: str, value: Any, scenery: Path, tmp_path: Path) -> None:
    plain, own = (trained(scenery, tmp_path, **fields) for fields in ({}, {field: value}))
    assert own.history[0]["train_loss"] != plain.history[0]["train_loss"]


@pytest.mark.parametrize("scheduler", ["cosine", "onecycle"])
def test_train_steps_a_named_schedule_after_each_batch(scheduler: str, scenery: Path, tmp_path: Path) -> None:
    rates: list[float] = []

    class Watch(Callback):
        def on_backward_end(self, state: State) -> None:
            rates.append(state.optimizer.param_groups[0]["lr"])

    trained(scenery, tmp_path, scheduler=scheduler, callbacks=[Watch()])
    assert len(rates) == len(set(rates)) == 4


class Accuracies(Callback):
    """Sets the accuracies of each epoch to the given values."""

    def __init__(self, inner: list[float], valid: list[float]) -> None:
        self.inner, self.valid = inner, valid

    def on_epoch_end(self, state: State) -> None:
        row, i = state.history[-1], state.epoch - 1
        row["inner_accuracy"], row["valid_accuracy"] = self.inner[i], self.valid[i]


SCRIPT = Accuracies(inner=[0.6, 0.8, 0.7, 0.7, 0.9], valid=[0.1, 0.2, 0.9, 0.3, 0.4])


def test_train_evaluates_the_epoch_at_which_patience_stopped(scenery: Path, tmp_path: Path) -> None:
    result = trained(scenery, tmp_path, epochs=5, patience=2, callbacks=[SCRIPT])
    assert (len(result.history), result.epoch) == (4, 4)
    assert result.stop_reason == "inner_accuracy has not improved for 2 epochs"
    assert checkpoint.load(result.checkpoint)["epoch"] == 4


def test_train_saves_the_best_epoch_of_the_inner_part(scenery: Path, tmp_path: Path) -> None:
    result = trained(scenery, tmp_path, epochs=4, epoch="best", callbacks=[SCRIPT])
    assert (len(result.history), result.epoch) == (4, 2)
    assert checkpoint.load(result.checkpoint)["epoch"] == 2


def test_train_saves_the_last_epoch_whatever_its_validation_metrics(scenery: Path, tmp_path: Path) -> None:
    result = trained(scenery, tmp_path, epochs=4, callbacks=[SCRIPT])
    assert result.epoch == 4
    assert result.checkpoint.name == "fold1.pt"
    assert "inner_loss" not in result.history[0]


def test_train_out_of_memory_suggests_a_batch_size(scenery: Path, tmp_path: Path) -> None:
    class Greedy(Callback):
        def on_batch_start(self, state: State) -> None:
            torch.empty(2**60)

    plan = make_plan(SMALL.replace(data=str(scenery), folds=0, callbacks=[Greedy()]), device="cpu")
    folder = RunFolder.create(tmp_path, run_record())
    with pytest.raises(TrainingError, match="fold 1 ran out of memory on cpu") as caught:
        train(plan, 1, folder)
    assert caught.value.fix == "-s batch_size=4"
    assert not (folder.checkpoints / "fold1.pt").exists()  # there was no step
