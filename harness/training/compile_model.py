"""Runs `torch.compile`, and measures the time that it takes and saves on this machine."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.engine.trainer import Trainer
from harness.errors import TrainingError

STEPS = 3  # timed steps, before and after; the fastest is used


@dataclass(frozen=True)
class BreakEven:
    """Seconds of a training step (forward and backward) before and after compiling, and of the compiling."""

    before: float
    after: float
    compiling: float

    def __str__(self) -> str:
        text = (
            f"compiling took {self.compiling:.0f} s, and a step takes {self.after:.3g} s instead of {self.before:.3g} s"
        )
        if self.after >= self.before:
            return f"{text}: it saves no time here (-s compile=false)"
        return f"{text}: it saves time after {self.compiling / (self.before - self.after):,.0f} steps"


def compile_model(model: nn.Module, trainer: Trainer, batch: tuple[Tensor, Tensor]) -> BreakEven:
    """Compiles `model` in place and times steps before and after. Its weights and state dict do not change.

    Torch compiles again at the first batch of another size and at the first validation. Raises TrainingError if it
    cannot compile the model.
    """
    parts = (model, *trainer.modules.values())
    states = [copy.deepcopy(part.state_dict()) for part in parts]
    trainer.move_model(model).train()
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # the measurement must not change later random numbers
        before = min(_seconds(lambda: _step(model, trainer, batch), trainer) for _ in range(STEPS))
        model.compile()
        try:
            first = _seconds(lambda: _step(model, trainer, batch), trainer)
        except Exception as error:  # no compiler, or code that it does not support
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise TrainingError("the model cannot be compiled", why, "-s compile=false") from error
        after = min(_seconds(lambda: _step(model, trainer, batch), trainer) for _ in range(STEPS))
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)
        part.zero_grad(set_to_none=True)
    return BreakEven(before, after, max(0.0, first - after))


def _step(model: nn.Module, trainer: Trainer, batch: tuple[Tensor, Tensor]) -> None:
    inputs, targets = trainer.to_device(batch)
    trainer.loss_of(trainer.forward(model, inputs), targets).backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)


def _seconds(step: Callable[[], None], trainer: Trainer) -> float:
    started = time.perf_counter()
    step()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - started
