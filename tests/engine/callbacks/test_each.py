from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from harness.engine import checkpoint
from harness.engine.callbacks import (
    EarlyStopping,
    GradientClipping,
    KeptPredictions,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.callbacks.monitor import Monitor
from harness.engine.trainer import Callback, State, Trainer
from harness.errors import TrainingError, UsageError
from tests import toy as toys

POINTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
BATCHES = list(zip(POINTS.split(16), (POINTS[:, 0] > 0).long().split(16), strict=True))


class Script(Callback):
    """Sets the validation accuracy of each epoch to the next of `values`."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def on_epoch_end(self, state: State) -> None:
        state.history[-1]["valid_accuracy"] = self.values[state.epoch - 1]


def fit(*callbacks: Callback, epochs: int = 4, lr: float = 0.1, inner: object = None) -> State:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    trainer = Trainer(callbacks=callbacks, device="cpu", precision="fp32")
    return trainer.fit(model, torch.optim.SGD(model.parameters(), lr), BATCHES, BATCHES, epochs, inner)  # type: ignore[arg-type]


class TestMonitor:
    def test_auto_mode_reads_the_name(self) -> None:
        assert Monitor("valid_accuracy")._sign == 1 == -Monitor("valid_loss")._sign
        assert Monitor("valid_loss", "max")._sign == 1

    def test_unknown_name_needs_a_mode(self) -> None:
        with pytest.raises(UsageError, match="it is not known whether a higher valid_cost is better") as caught:
            Monitor("valid_cost")
        assert "-s monitor_mode=max" in caught.value.fix
        assert Monitor("valid_cost", "min")._sign == -1

    def test_earliest_of_equal_epochs_is_the_best(self, tmp_path: Path) -> None:
        saver = ModelCheckpoint(tmp_path / "m.pt", "valid_accuracy")
        fit(Script([0.5, 0.9, 0.9, 0.8]), saver)
        assert saver.epoch == 2

    def test_nan_is_never_the_best(self, tmp_path: Path) -> None:
        saver = ModelCheckpoint(tmp_path / "m.pt", "valid_accuracy")
        fit(Script([math.nan, 0.1, math.nan, 0.05]), saver)
        assert saver.epoch == 2

    @pytest.mark.parametrize("kind", [EarlyStopping, KeptPredictions, lambda name: ModelCheckpoint("x", name, "max")])
    def test_unknown_metric_fails_before_the_first_step(self, kind: object) -> None:
        with pytest.raises(UsageError, match="'val_accuracy' to monitor; did you mean 'valid_accuracy'"):
            fit(kind("val_accuracy"))  # type: ignore[operator]

    def test_metric_of_a_callback_can_be_monitored(self) -> None:
        class Kappa(Callback):
            metric_names = ("valid_kappa",)

            def on_epoch_end(self, state: State) -> None:
                state.history[-1]["valid_kappa"] = 0.5

        assert fit(Kappa(), EarlyStopping("valid_kappa", patience=1)).epoch == 2

    def test_inner_part_steers_if_there_is_one(self) -> None:
        class Differ(Callback):
            def on_epoch_end(self, state: State) -> None:
                state.history[-1].update(inner_accuracy=0.5, valid_accuracy=state.epoch / 10)

        assert fit(Differ(), EarlyStopping("valid_accuracy", 2), inner=BATCHES).stop_reason == (
            "inner_accuracy has not improved for 2 epochs"
        )
        assert fit(Differ(), EarlyStopping("valid_accuracy", 2)).stop_reason is None


class TestEarlyStopping:
    def test_stops_after_exactly_patience_epochs(self) -> None:
        state = fit(Script([0.5, 0.6, 0.6, 0.5, 0.9]), EarlyStopping("valid_accuracy", patience=2), epochs=5)
        assert state.epoch == 4
        assert state.stop_reason == "valid_accuracy has not improved for 2 epochs"

    def test_min_delta(self) -> None:
        state = fit(Script([0.5, 0.52, 0.54, 0.56]), EarlyStopping("valid_accuracy", 2, min_delta=0.05))
        assert state.epoch == 3

    def test_does_not_stop_while_the_metric_improves(self) -> None:
        assert fit(Script([0.1, 0.2, 0.3, 0.4]), EarlyStopping("valid_accuracy", patience=1)).stop_reason is None


class Weights(Callback):
    """Records the weights of each epoch."""

    def __init__(self) -> None:
        self.weights: dict[int, Tensor] = {}

    def on_epoch_end(self, state: State) -> None:
        self.weights[state.epoch] = state.model.state_dict()["weight"].clone()


class TestModelCheckpoint:
    @pytest.mark.parametrize(("monitor", "epoch", "accuracy"), [(None, 4, 0.8), ("valid_accuracy", 2, 0.9)])
    def test_saves_the_last_epoch_or_the_best_by_the_monitor(
        self, monitor: str | None, epoch: int, accuracy: float, tmp_path: Path
    ) -> None:
        saver, seen = ModelCheckpoint(tmp_path / "m.pt", monitor, content={"classes": ["a", "b"]}), Weights()
        fit(Script([0.5, 0.9, 0.7, 0.8]), seen, saver)
        saved = checkpoint.load(tmp_path / "m.pt")
        assert torch.equal(saved["model"]["weight"], seen.weights[epoch])
        assert (saved["epoch"], saved["metrics"]["valid_accuracy"], saved["classes"]) == (epoch, accuracy, ["a", "b"])
        assert saver.epoch == epoch

    def test_writes_during_a_long_fit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[bool] = []

        class Look(Callback):
            def on_epoch_end(self, state: State) -> None:
                seen.append((tmp_path / "m.pt").exists())

        fit(ModelCheckpoint(tmp_path / "m.pt"), Look())
        assert seen == [False] * 4
        (tmp_path / "m.pt").unlink()
        monkeypatch.setattr("harness.engine.callbacks.model_checkpoint.PAUSE_SECONDS", 0)
        fit(ModelCheckpoint(tmp_path / "m.pt"), Look())
        assert seen[4:] == [True] * 4

    def test_failure_saves_the_last_complete_epoch(self, tmp_path: Path) -> None:
        class FailsLater(Callback):
            def on_epoch_start(self, state: State) -> None:
                if state.epoch == 3:
                    raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011 - raised by this test
            fit(ModelCheckpoint(tmp_path / "m.pt"), FailsLater())
        assert checkpoint.load(tmp_path / "m.pt")["epoch"] == 2


class TestLearningRateSchedule:
    def test_per_epoch(self) -> None:
        state = fit(LearningRateSchedule(CosineAnnealingLR))
        expected = [0.05 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
        assert [row["lr"] for row in state.history] == pytest.approx(expected)

    def test_per_batch(self) -> None:
        rates: list[float] = []

        class Watch(Callback):
            def on_backward_end(self, state: State) -> None:
                rates.append(state.optimizer.param_groups[0]["lr"])

        fit(LearningRateSchedule(lambda o, total: OneCycleLR(o, 0.1, total_steps=total), "batch"), Watch())
        assert len(rates) == 12
        assert max(rates) == pytest.approx(0.1, rel=0.05)
        assert rates[0] < rates[3] > rates[-1]

    def test_reduce_on_plateau(self) -> None:
        schedule = LearningRateSchedule(
            lambda o, total: ReduceLROnPlateau(o, "max", factor=0.1, patience=0), monitor="valid_accuracy"
        )
        state = fit(Script([0.5, 0.5, 0.6, 0.6]), schedule)
        assert [row["lr"] for row in state.history] == pytest.approx([0.1, 0.1, 0.01, 0.01])

    def test_per_batch_requires_a_length(self) -> None:
        trainer = Trainer(callbacks=[LearningRateSchedule(CosineAnnealingLR, "batch")], device="cpu")
        model = nn.Linear(3, 2)
        with pytest.raises(UsageError, match="the number of batches"):
            trainer.fit(model, torch.optim.SGD(model.parameters(), 0.1), iter(BATCHES), None, 1)


def test_gradient_clipping_limits_the_total_norm() -> None:
    norms: list[float] = []

    class Watch(Callback):
        def on_backward_end(self, state: State) -> None:
            norms.append(
                torch.cat([p.grad.flatten() for p in state.model.parameters() if p.grad is not None]).norm().item()
            )

    fit(Watch(), GradientClipping(0.01), Watch())
    before, after = norms[::2], norms[1::2]
    assert after == pytest.approx([0.01] * 4 * len(BATCHES), rel=1e-3)
    assert min(before) > 0.02


@pytest.mark.parametrize(("monitor", "epoch"), [(None, 4), ("valid_accuracy", 2)])
def test_kept_predictions_match_the_saved_weights(monitor: str | None, epoch: int, tmp_path: Path) -> None:
    kept = KeptPredictions(monitor)
    saver = ModelCheckpoint(tmp_path / "m.pt", monitor)
    fit(Script([0.5, 0.9, 0.7, 0.8]), kept, saver)
    model = nn.Linear(3, 2)
    model.load_state_dict(checkpoint.load(saver.path)["model"])
    assert kept.epoch == saver.epoch == epoch
    assert kept.logits is not None
    assert torch.equal(kept.logits, Trainer(device="cpu", precision="fp32").predict(model, BATCHES))


def test_terminate_on_nan_ends_the_fit_with_a_hint() -> None:
    with pytest.raises(TrainingError, match=r"the (train|valid) loss is (nan|inf) in epoch") as caught:
        fit(TerminateOnNaN(), lr=1e38)
    assert "-s lr=1e+37" in caught.value.fix


def test_terminate_on_nan_does_not_blame_the_learning_rate_before_the_first_step() -> None:
    def broken(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, targets) * torch.inf

    with pytest.raises(TrainingError) as caught:
        toys.fit(TerminateOnNaN(), loss=broken)
    assert "before the first step" in caught.value.why
    assert "lr=" not in caught.value.fix


def test_progress_bar_prints_one_line_per_epoch_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fit(ProgressBar("fold 1/3"), epochs=2)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 2
    assert lines[1].startswith("fold 1/3  epoch 2/2  train loss 0.")
    assert " %  valid loss 0." in lines[1]
    assert lines[1].endswith(" s")


def test_progress_bar_is_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit(ProgressBar("fold 1/3"), epochs=2)
    assert "fold 1/3:   0%|" in capsys.readouterr().err
