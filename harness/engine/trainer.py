"""The training loop: `State`, `Callback`, `Trainer`. This is the loop with all its events:

on_fit_start                    model on its device, no step taken
for each epoch:
    on_epoch_start              state.epoch is 1-based
    for each phase, "train", then "inner" if there is one, then "valid":
        for each batch:
            on_batch_start      state.batch is on the device and may be replaced
                forward, loss
                backward                                     (train only)
            on_backward_end     gradients exist and are unscaled (train only)
                optimizer step                               (train only)
            on_batch_end        counters have advanced; state.loss is on the device
    on_epoch_end                this epoch's metrics are in state.history[-1]
on_fit_end                      always, also after a failure: then state.error is the exception
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

from harness.engine.callback import EVENTS as EVENTS
from harness.engine.callback import Callback as Callback
from harness.engine.callback import overrides as overrides
from harness.engine.device import choose_device
from harness.engine.fit_state import batches_left, load_fit_state
from harness.engine.metrics import Means, Metric, accuracy
from harness.engine.precision import Precision, choose_precision
from harness.engine.rates import named_rates, rates_of
from harness.engine.return_checks import require_loss, require_tensor
from harness.engine.state import Phase as Phase
from harness.engine.state import Row
from harness.engine.state import State as State

log = logging.getLogger("harness")
Loss = Callable[[Tensor, Tensor], Tensor]


class Trainer:
    """Trains any `nn.Module` that returns a tensor, on any iterables of `(inputs, targets)`.

    The history holds the mean of each metric over all examples of an epoch, whatever the batch sizes. The row's `lr` is
    the learning rate of the epoch's last step; parameter groups with other rates add `lr_1` and so on. If an iterable
    has `set_epoch`, the trainer calls it before each epoch, as for torch's DistributedSampler.

    Args:
        loss: Maps (logits, targets) to a tensor of shape (), the mean over the batch. If the loss or a metric is an
            `nn.Module`, it is moved to the device and switched between train and eval mode with the model.
        callbacks: Are called in this order.
        metrics: Each maps (logits, targets) to one number per example, shape (B,). Default: accuracy.
        precision: "auto", "fp32", "bf16" or "fp16".
        device: "auto", "cpu", "cuda" or "mps".
        channels_last: Makes convolutions faster on CPUs and tensor cores. Models that call `view` may fail with it.

    Raises:
        UsageError: The device is not available, or does not support the precision.

    Example:
        >>> import torch, harness
        >>> batches = [(torch.eye(4), torch.tensor([0, 0, 1, 1]))]
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        >>> state = harness.Trainer(device="cpu").fit(model, optimizer, train=batches, valid=batches, epochs=20)
        >>> state.history[-1]["valid_accuracy"]
        1.0
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
        resume: Mapping[str, Any] | None = None,
    ) -> State:
        """Trains `model` for at most `epochs` epochs. Moves it to the device.

        Args:
            model: Returns a tensor (B, classes).
            optimizer: An optimizer of the model's parameters.
            train: Batches of (inputs, targets).
            valid: Batches for the validation after each epoch; None for no validation.
            epochs: The maximum number of epochs.
            inner: Batches that steer the training. With them, early stopping, plateau schedules and the choice of the
                best epoch do not use `valid`.
            resume: The state of an interrupted fit, as `FitCheckpoint` saves it. This fit resumes there.

        Returns:
            The state at the end of the fit, with one row of metrics per epoch in `history`.

        Raises:
            UsageError: An iterable gives no batch.
            ModelError: `resume` was saved with another model, optimizer or list of callbacks.
            Exception: An exception of a callback or the model propagates unchanged.
        """
        phases = _given({"train": train, "inner": inner, "valid": valid})
        state = self._new_state(model, optimizer, phases, epochs)
        try:
            self._emit("on_fit_start", state)
            if resume is not None:
                load_fit_state(state, resume, Means(self.metrics, self.device))
            while state.row is not None or (state.epoch < epochs and state.stop_reason is None):
                if state.row is None:
                    state.epoch += 1
                    state.row = Row(state.was_read, epoch=state.epoch)
                    self._emit("on_epoch_start", state)
                left = state.phases_left(phases)
                for state.phase, batches in left.items():
                    state.row.update(self._run_phase(state, batches))
                state.row.update(named_rates(state.rates))
                state.end_epoch()
                self._emit("on_epoch_end", state)
        except BaseException as error:
            state.error = error
            raise
        finally:
            self._emit_fit_end(state)
        return state

    def _run_phase(self, state: State, batches: Iterable[Any]) -> dict[str, float]:
        training = state.phase == "train"
        for module in (state.model, *self.modules.values()):
            module.train(training)
        _set_epoch(batches, state.epoch)
        left = batches_left(state, batches)
        means = state.means = state.means or Means(self.metrics, self.device)
        with torch.set_grad_enabled(training):
            for batch in left:
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
                state.done += 1
                self._emit("on_batch_end", state)
                if training and state.stop_reason is not None:
                    break  # the validation that follows is always complete
        state.means, state.done = None, 0
        return means.read(state.phase)  # the only wait for the device in a phase (fp16: also one per step)

    def forward(self, model: nn.Module, inputs: Any) -> Tensor:
        """Returns the model's output as fp32, whatever the precision. Raises UserCodeError if it is not a tensor."""
        with self.autocast():
            return require_tensor(model(inputs), model).float()

    def loss_of(self, logits: Tensor, targets: Any) -> Tensor:
        """Returns the loss of a batch, shape (). Raises UserCodeError if training cannot minimise it."""
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
            parts={"loss": self.loss, **self.metrics},
            sources=dict(phases),
            callbacks=self.callbacks,
        )

    def move_model(self, model: nn.Module) -> nn.Module:
        """Moves the model to the device, in the memory format of this trainer. Moves the loss and metrics too."""
        for module in self.modules.values():
            module.to(self.device)
        order = torch.channels_last if self.channels_last else torch.preserve_format
        return model.to(self.device, memory_format=order)  # type: ignore[call-overload, no-any-return]

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context of mixed precision; the same in training, validation and prediction."""
        return torch.autocast(self.device.type, self.precision.dtype, enabled=self.precision.mixed)

    def predict(self, model: nn.Module, batches: Iterable[Any]) -> Tensor:
        """Returns the logits of all examples, in order: (N, classes), fp32, on the CPU.

        Ignores the targets. Moves the model to the device and leaves it in eval mode. `batches` must not be empty.
        """
        self.move_model(model).eval()
        with torch.inference_mode():
            return torch.cat([self.forward(model, self.to_device(inputs)) for inputs, _ in batches]).cpu()

    def to_device(self, value: Any) -> Any:
        """Moves tensors to the device, also those in lists, tuples and dicts."""
        if isinstance(value, Tensor):
            order = torch.channels_last if self.channels_last else torch.contiguous_format
            order = order if value.ndim == 4 else torch.preserve_format
            # only CUDA keeps the source of an asynchronous copy alive; on MPS it could be read after it is freed
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
        """Calls each callback's on_fit_end, even if one of them or the fit failed. The first failure is raised."""
        failure: BaseException | None = None
        for hook in self._hooks["on_fit_end"]:
            try:
                hook(state)
            except BaseException as error:
                failure = failure or error
        if failure is None:
            return
        if state.error is not None:  # the fit's own failure is the one to report
            log.warning("at the end of the failed fit, another error: %s: %s", type(failure).__name__, failure)
            return
        state.error = failure
        raise failure


def _given(phases: Mapping[Phase, Iterable[Any] | None]) -> dict[Phase, Iterable[Any]]:
    """Returns the phases that have batches."""
    return {phase: batches for phase, batches in phases.items() if batches is not None}


def _set_epoch(batches: Iterable[Any], epoch: int) -> None:
    getattr(batches, "set_epoch", lambda _: None)(epoch)
