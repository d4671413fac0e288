from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils._python_dispatch import TorchDispatchMode

from harness.engine import checkpoint
from harness.engine.callbacks import (
    EarlyStopping,
    EpochLog,
    KeptPredictions,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.trainer import EVENTS, Callback, State, Trainer
from harness.errors import UsageError
from tests.toy import Batch, examples, fit


def recorder(events: tuple[str, ...] = EVENTS) -> tuple[Callback, list[str]]:
    """Returns a callback, and the list in which it records each event with its epoch, phase and step."""
    seen: list[str] = []

    def note(event: str) -> object:
        def hook(self: Callback, state: State) -> None:
            within = event in ("on_batch_start", "on_backward_end", "on_batch_end")
            seen.append(f"{event[3:]} {state.epoch}" + (f" {state.phase} {state.step}" if within else ""))

        return hook

    return type("Recorder", (Callback,), {event: note(event) for event in events})(), seen


def test_fit_emits_events_in_order() -> None:
    callback, seen = recorder()
    fit(callback, epochs=2, train=examples(4, 2), valid=examples(2, 2))
    assert seen == [
        "fit_start 0",
        "epoch_start 1",
        "batch_start 1 train 0",
        "backward_end 1 train 0",
        "batch_end 1 train 1",
        "batch_start 1 train 1",
        "backward_end 1 train 1",
        "batch_end 1 train 2",
        "batch_start 1 valid 2",
        "batch_end 1 valid 2",
        "epoch_end 1",
        "epoch_start 2",
        "batch_start 2 train 2",
        "backward_end 2 train 2",
        "batch_end 2 train 3",
        "batch_start 2 train 3",
        "backward_end 2 train 3",
        "batch_end 2 train 4",
        "batch_start 2 valid 4",
        "batch_end 2 valid 4",
        "epoch_end 2",
        "fit_end 2",
    ]


def test_fit_calls_callbacks_in_list_order() -> None:
    order: list[str] = []

    class Named(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_epoch_end(self, state: State) -> None:
            order.append(self.name)

    fit(Named("b"), Named("a"), Named("c"), epochs=1)
    assert order == ["b", "a", "c"]


def test_fit_loop_fits_on_one_screen() -> None:
    parts = (Trainer.fit, Trainer._run_phase)
    lines = sum(len(inspect.getsource(part).splitlines()) for part in parts)
    described = sum(len((inspect.getdoc(part) or "").splitlines()) for part in parts)
    assert lines - described <= 60


def test_callback_with_an_unknown_hook_is_refused_at_definition() -> None:
    with pytest.raises(TypeError, match=r"on_epoch_ends is not an event; did you mean 'on_epoch_end'"):
        type("Typo", (Callback,), {"on_epoch_ends": lambda self, state: None})


def test_fit_trains_in_training_and_not_in_validation() -> None:
    seen: set[tuple[str, bool, bool]] = set()

    class Watch(Callback):
        def on_batch_start(self, state: State) -> None:
            seen.add((state.phase, torch.is_grad_enabled(), state.model.training))

    state = fit(Watch(), epochs=20)
    assert seen == {("train", True, True), ("valid", False, False)}
    assert state.history[-1]["valid_accuracy"] > 0.9
    assert state.step == 20 * 3


def test_stop_in_a_batch_ends_training_and_completes_validation() -> None:
    class StopAtOnce(Callback):
        def on_batch_end(self, state: State) -> None:
            state.stop("enough")
            state.stop("a later reason does not replace the first")

    state = fit(StopAtOnce(), epochs=5)
    assert (state.step, state.epoch, state.stop_reason) == (1, 1, "enough")
    assert state.history[0]["train_examples"] == 16
    assert state.history[0]["valid_examples"] == 20


def test_stop_before_the_first_epoch_trains_nothing() -> None:
    class NotToday(Callback):
        def on_fit_start(self, state: State) -> None:
            state.stop("not today")

    assert fit(NotToday()).history == []


def test_fit_failure_propagates_and_calls_every_on_fit_end(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[BaseException | None] = []

    class Ends(Callback):
        def on_fit_end(self, state: State) -> None:
            ended.append(state.error)

    class EndsBadly(Callback):
        def on_fit_end(self, state: State) -> None:
            raise OSError("disk")

    failure = ZeroDivisionError("mine")

    class Fails(Callback):
        def on_batch_end(self, state: State) -> None:
            raise failure

    with pytest.raises(ZeroDivisionError) as caught:
        fit(Ends(), EndsBadly(), Fails(), Ends())
    assert "at the end of the failed fit, another error: OSError: disk" in caplog.text
    assert caught.value is failure
    assert ended == [failure, failure]


def test_fit_raises_a_failure_of_on_fit_end() -> None:
    class EndsBadly(Callback):
        def on_fit_end(self, state: State) -> None:
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fit(EndsBadly())


def test_ctrl_c_is_the_error_in_the_state() -> None:
    ended: list[BaseException | None] = []

    class Press(Callback):
        def on_batch_start(self, state: State) -> None:
            raise KeyboardInterrupt

        def on_fit_end(self, state: State) -> None:
            ended.append(state.error)

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(Press())
    assert ended == [caught.value]


def test_on_batch_start_may_replace_the_batch() -> None:
    class Blank(Callback):
        def on_batch_start(self, state: State) -> None:
            inputs, targets = state.batch
            state.batch = torch.zeros_like(inputs), targets

    state = fit(Blank(), epochs=1)
    assert state.history[0]["valid_loss"] == pytest.approx(
        nn.functional.cross_entropy(
            state.model(torch.zeros(20, 4)), torch.cat([targets for _, targets in examples(20)])
        ).item()
    )


def test_fit_accepts_any_iterable_module_and_metric() -> None:
    class Stream:
        epochs: list[int] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

        def __iter__(self) -> Iterator[Batch]:
            for inputs, _ in examples():
                yield inputs, inputs.sum(1, keepdim=True)

    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    distance = {"distance": lambda outputs, targets: (outputs - targets).abs().flatten()}
    trainer = Trainer(nn.functional.mse_loss, metrics=distance, device="cpu", precision="fp32")
    state = trainer.fit(model, torch.optim.Adam(model.parameters(), 1e-2), Stream(), None, 30)
    assert state.metric_names == ("train_loss", "train_distance")
    assert state.history[-1]["train_distance"] < state.history[0]["train_distance"] / 2
    assert Stream.epochs == list(range(1, 31))
    assert state.batches == {}


def test_loss_and_metric_modules_follow_the_phase_and_are_saved(tmp_path: Path) -> None:
    """A loss with learnable parameters and a metric with a state (super-gradients 1647, fastai 3395)."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.modes: list[bool] = []

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            self.modes.append(self.training)
            return nn.functional.cross_entropy(self.scale * logits, targets)

    class Share(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(()))

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            assert isinstance(self.weight, Tensor)
            return (logits.argmax(1) == targets) * self.weight

    loss, model = Scaled(), nn.Linear(4, 2)
    saver = ModelCheckpoint(tmp_path / "m.pt")
    trainer = Trainer(loss, [saver], metrics={"share": Share()}, device="cpu", precision="fp32")
    optimizer = torch.optim.SGD([*model.parameters(), loss.scale], lr=0.1)
    trainer.fit(model, optimizer, examples(20), examples(20), 1)
    assert loss.modes == [True, True, False, False]
    assert loss.scale.item() != 1
    modules = checkpoint.load(saver.path)["modules"]
    assert modules == {"loss": {"scale": loss.scale.detach()}, "share": {"weight": torch.ones(())}}


def test_predict_returns_logits_in_order_with_the_precision_of_validation() -> None:
    trainer = Trainer(device="cpu", precision="bf16")
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout())
    batches = examples(40, 16)
    logits = trainer.predict(model.train(), batches)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = torch.cat([model[0](inputs) for inputs, _ in batches]).float()
    assert logits.dtype == torch.float32
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fit_uses_one_code_path_for_every_precision(precision: str) -> None:
    seen: list[tuple[torch.dtype, bool]] = []

    class Watch(Callback):
        def on_batch_end(self, state: State) -> None:
            assert state.logits is not None
            assert state.loss is not None
            seen.append((state.logits.dtype, state.loss.requires_grad))

    state = fit(Watch(), epochs=20, precision=precision)
    assert seen == [(torch.float32, False)] * 20 * (3 + 2)
    assert not state.scaler.is_enabled()
    assert next(state.model.parameters()).dtype == torch.float32
    assert state.history[-1]["valid_accuracy"] > 0.9


def test_channels_last_changes_no_result() -> None:
    def losses(channels_last: bool) -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        batches = [(torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2)]
        trainer = Trainer(device="cpu", precision="fp32", channels_last=channels_last)
        state = trainer.fit(model, torch.optim.SGD(model.parameters(), 0.1), batches, batches, 3)
        return [row["valid_loss"] for row in state.history]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)


def test_fit_reads_the_device_once_per_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses all callbacks of a run. A CPU need not wait, but it gets the same calls."""
    reads: list[str] = []
    to_list = Tensor.tolist

    class Values(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.ops.aten._local_scalar_dense.default:  # item(), bool(), float()
                reads.append("item")
            return function(*args, **(kwargs or {}))

    def noted(self: Tensor) -> Any:
        reads.append("tolist")
        return to_list(self)

    monkeypatch.setattr(Tensor, "tolist", noted)
    callbacks = [
        EpochLog(tmp_path / "metrics.jsonl"),
        TerminateOnNaN(),
        KeptPredictions(),
        ModelCheckpoint(tmp_path / "m.pt"),
        LearningRateSchedule(CosineAnnealingLR, "batch"),
        EarlyStopping(patience=9),
        ProgressBar(),
    ]
    with Values():
        fit(*callbacks, epochs=3)
    assert reads == ["tolist"] * 2 * 3


@pytest.mark.parametrize("device", ["cuda:7", "gpu", "meta", ""])
def test_choose_device_refuses_a_missing_device(device: str) -> None:
    with pytest.raises(UsageError, match=f"device '{device}' is not available"):
        Trainer(device=device)
