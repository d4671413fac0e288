"""The training loop and its contract: `State`, `Callback`, `Trainer`. The loop, with every event in its place:

on_fit_start                    model on its device, no step taken
for each epoch:
    on_epoch_start              state.epoch is 1-based
    for each phase, "train", then "inner" if there is one, then "valid":
        for each batch:
            on_batch_start      state.batch is on the device, and may be replaced
                forward, loss
                backward                                     (train only)
            on_backward_end     gradients are there, unscaled (train only)
                optimizer step                               (train only)
            on_batch_end        counters have advanced; state.loss is on the device
    on_epoch_end                this epoch's metrics are in state.history[-1]
on_fit_end                      always, also after a failure: state.error says which
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.engine.device import choose_device
from harness.engine.metrics import Means, Metric, accuracy
from harness.engine.precision import Precision, choose_precision
from harness.engine.rates import named_rates, rates_of
from harness.engine.return_checks import require_loss, require_tensor
from harness.engine.state import Phase as Phase
from harness.engine.state import Row
from harness.engine.state import State as State
from harness.errors import nearest

log = logging.getLogger("harness")
EVENTS = (
    "on_fit_start",
    "on_epoch_start",
    "on_batch_start",
    "on_backward_end",
    "on_batch_end",
    "on_epoch_end",
    "on_fit_end",
)
Loss = Callable[[Tensor, Tensor], Tensor]


class Callback:
    """Something to do at points of a fit: override what you need. The module's docstring says what holds when.

    Attributes:
        metric_names: What it adds to each row of `state.history` in `on_epoch_end`, so that others can monitor it.
        steers: Whether it changes the training by metrics of validation, as early stopping does. A fold that is judged
            by cross-validation then gets an inner part, and these metrics are `inner_loss`, `inner_accuracy`, ...
    """

    metric_names: tuple[str, ...] = ()
    steers: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("on_") and name not in EVENTS:
                known = ", ".join(EVENTS)
                raise TypeError(f"{cls.__name__}.{name} is no event{nearest(name, EVENTS)}; the events are {known}")

    def on_fit_start(self, state: State) -> None:
        """Reset what this callback remembers; check what it needs."""

    def on_epoch_start(self, state: State) -> None:
        """An epoch begins."""

    def on_batch_start(self, state: State) -> None:
        """Read or replace `state.batch`."""

    def on_backward_end(self, state: State) -> None:
        """Clip or measure gradients. Not called in validation."""

    def on_batch_end(self, state: State) -> None:
        """Called for every batch: do not read values off the device here."""

    def on_epoch_end(self, state: State) -> None:
        """Read `state.history[-1]`; save, report, or `state.stop(reason)`."""

    def on_fit_end(self, state: State) -> None:
        """Close what was opened. `state.error` is None after a good fit."""


class Trainer:
    """How to train: any `nn.Module` that returns a tensor, on any iterables of `(inputs, targets)`.

    `loss` maps (logits, targets) to a scalar, the mean over the batch. Each of `metrics` maps them to one number per
    example, shape (B,); what the history holds is their mean over all examples of an epoch, however batches are cut.
    The row's `lr` is the rate of the epoch's last step; groups of other rates have `lr_1` and so on.
    An iterable that has `set_epoch` is told the epoch before it is iterated, as torch's DistributedSampler is.
    A loss or a metric that is a module moves with the model, and follows its mode.
    `channels_last` makes convolutions faster on a CPU and on tensor cores; a model that calls `view` may not bear it.
    """

    def __init__(
        self,
        loss: Loss = F.cross_entropy,
        callbacks: Sequence[Callback] = (),
        *,
        metrics: Mapping[str, Metric] | None = None,
        precision: str | Precision = "auto",
        device: str | torch.device = "auto",
        channels_last: bool = False,
    ) -> None:
        self.loss = loss
        self.callbacks = tuple(callbacks)
        self.metrics = dict({"accuracy": accuracy} if metrics is None else metrics)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device) if isinstance(precision, str) else precision
        self.channels_last = channels_last
        parts = {"loss": loss, **self.metrics}
        self.modules = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        self._hooks = {event: [getattr(c, event) for c in self.callbacks if overrides(c, event)] for event in EVENTS}

    def fit(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        train: Iterable[Any],
        valid: Iterable[Any] | None,
        epochs: int,
        inner: Iterable[Any] | None = None,
    ) -> State:
        """Trains `model`, which is moved to the device, for at most `epochs` epochs.

        After each epoch it is validated on `valid`. With `inner`, only those batches may steer the training: early
        stopping, a plateau's schedule and the choice of the best epoch never look at `valid`.

        Whatever a callback or the model raises propagates unchanged; UsageError if an iterable gives no batch.
        """
        phases = _given({"train": train, "inner": inner, "valid": valid})
        state = self._new_state(model, optimizer, phases, epochs)
        try:
            self._emit("on_fit_start", state)
            while state.epoch < epochs and state.stop_reason is None:
                state.epoch += 1
                self._emit("on_epoch_start", state)
                row = Row(state.was_read, epoch=state.epoch)
                for state.phase, batches in phases.items():
                    row.update(self._run_phase(state, batches))
                row.update(named_rates(state.rates))
                state.history.append(row)
                self._emit("on_epoch_end", state)
        except BaseException as error:
            state.error = error
            raise
        finally:
            self._emit_fit_end(state)
        return state

    def _run_phase(self, state: State, batches: Iterable[Any]) -> dict[str, float]:
        training = state.phase == "train"
        means = Means(self.metrics, self.device)
        for module in (state.model, *self.modules.values()):
            module.train(training)
        _set_epoch(batches, state.epoch)
        with torch.set_grad_enabled(training):
            for batch in batches:
                state.batch = self.to_device(batch)
                self._emit("on_batch_start", state)
                inputs, targets = state.batch
                logits = self.forward(state.model, inputs)
                loss = self.loss_of(logits, targets)
                if training:
                    self._backward(state, loss)
                    self._emit("on_backward_end", state)
                    self._step(state)
                state.logits, state.loss = logits.detach(), loss.detach()
                means.add(state.logits, targets, state.loss, inputs)
                self._emit("on_batch_end", state)
                if training and state.stop_reason is not None:
                    break  # the validation that follows is always whole
        return means.read(state.phase)  # the phase's one wait for the device (in fp16 the scaler adds one a step)

    def forward(self, model: nn.Module, inputs: Any) -> Tensor:
        """The model's output in 32 bits, as losses are in every precision. Raises UserCodeError if it is no tensor."""
        with self.autocast():
            return require_tensor(model(inputs), model).float()

    def loss_of(self, logits: Tensor, targets: Any) -> Tensor:
        """The loss of a batch, shape (). Raises UserCodeError unless training can minimise it."""
        return require_loss(self.loss(logits, targets), self.loss, logits)

    def _backward(self, state: State, loss: Tensor) -> None:
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        state.scaler.unscale_(state.optimizer)

    def _step(self, state: State) -> None:
        state.rates = rates_of(state.optimizer)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.step += 1

    def _new_state(
        self, model: nn.Module, optimizer: Optimizer, phases: Mapping[Phase, Iterable[Any]], epochs: int
    ) -> State:
        return State(
            self.move_model(model),
            optimizer,
            epochs,
            self.device,
            self.precision,
            torch.amp.GradScaler(self.device.type, enabled=self.precision.scaled),
            metric_names=(
                *(f"{phase}_{name}" for phase in phases for name in ("loss", *self.metrics)),
                *(name for callback in self.callbacks for name in callback.metric_names),
            ),
            phases=tuple(phases),
            batches={phase: len(batches) for phase, batches in phases.items() if isinstance(batches, Sized)},
            modules=self.modules,
        )

    def move_model(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the memory order of this trainer; the loss and the metrics go there, too."""
        for module in self.modules.values():
            module.to(self.device)
        order = torch.channels_last if self.channels_last else torch.preserve_format
        return model.to(self.device, memory_format=order)  # type: ignore[call-overload, no-any-return]

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as this trainer runs it, the same in training, validation and prediction."""
        return torch.autocast(self.device.type, self.precision.dtype, enabled=self.precision.mixed)

    def predict(self, model: nn.Module, batches: Iterable[Any]) -> Tensor:
        """The logits of every example, in order: (N, classes), fp32, on the CPU. Targets are not looked at.

        The model is moved to the device and left in eval mode. There must be at least one batch.
        """
        self.move_model(model).eval()
        with torch.inference_mode():
            return torch.cat([self.forward(model, self.to_device(inputs)) for inputs, _ in batches]).cpu()

    def to_device(self, value: Any) -> Any:
        """Tensors, and lists, tuples and dicts of them, on the device."""
        if isinstance(value, Tensor):
            order = torch.channels_last if self.channels_last else torch.contiguous_format
            order = order if value.ndim == 4 else torch.preserve_format
            # only CUDA keeps the source of such a copy alive; on Apple's GPUs it could be read after it is freed
            return value.to(self.device, non_blocking=self.device.type == "cuda", memory_format=order)
        if isinstance(value, (list, tuple)):
            return tuple(self.to_device(item) for item in value)
        if isinstance(value, dict):
            return {key: self.to_device(item) for key, item in value.items()}
        return value

    def _emit(self, event: str, state: State) -> None:
        for hook in self._hooks[event]:
            hook(state)

    def _emit_fit_end(self, state: State) -> None:
        """Every callback's on_fit_end, even where one of them, or the fit, has failed; the first failure counts."""
        failure: BaseException | None = None
        for hook in self._hooks["on_fit_end"]:
            try:
                hook(state)
            except BaseException as error:
                failure = failure or error
        if failure is None:
            return
        if state.error is not None:  # the fit's own failure is the one to report
            log.warning("at the end of the failed fit, also: %s: %s", type(failure).__name__, failure)
            return
        state.error = failure
        raise failure


def _given(phases: Mapping[Phase, Iterable[Any] | None]) -> dict[Phase, Iterable[Any]]:
    """The phases that have batches."""
    return {phase: batches for phase, batches in phases.items() if batches is not None}


def _set_epoch(batches: Iterable[Any], epoch: int) -> None:
    getattr(batches, "set_epoch", lambda _: None)(epoch)


def overrides(callback: Callback, event: str) -> bool:
    """Whether a callback does something at an event."""
    return getattr(type(callback), event) is not getattr(Callback, event)
