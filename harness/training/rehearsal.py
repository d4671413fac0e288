"""Before a run: one step of training and one of validation, as the run will take them, on images of noise."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from harness.config.experiment import Experiment
from harness.data.transforms import Transform, augmented, seeded
from harness.engine.return_checks import forward_name
from harness.engine.trainer import Trainer
from harness.errors import ModelError, UserCodeError
from harness.models.user_model import calling_forward, require_logits
from harness.training.copy_checks import copy_for_fold, require_callbacks
from harness.training.optimizers import make_loss, make_optimizer, make_scheduler
from harness.training.plan_notes import output_notes
from harness.util.text import size_text
from harness.util.user_code import calling, name_of, place_of, returned, title

IMAGES = 8  # of the step; 2 for named models, whose outputs are repeated so that the loss sees a whole batch


def rehearse(
    experiment: Experiment,
    model: nn.Module,
    transform: Transform,
    labels: Sequence[int],
    classes: int,
    arithmetic: Mapping[str, Any],
) -> list[str]:
    """Calls each function of the experiment, except callbacks' hooks. Returns warnings for the plan.

    The model takes one step on the run's device, in its precision and memory order, on at most `IMAGES` images, and is
    validated on them. Its weights, its buffers and all random states are restored; the model stays on the device.

    Args:
        experiment: Its functions and its batch size.
        model: As a fold trains it.
        transform: From a decoded image to the model's input.
        labels: Of the training images.
        classes: Number of logits.
        arithmetic: The run's device, precision and memory order, by the parameters of `Trainer`.

    Raises:
        ModelError: The model has nothing to train, or cannot be trained on such batches.
        UserCodeError: A function fails, or returns what a run cannot use.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("the model has nothing to train", "none of its parameters takes a gradient", "-s freeze=false")
    trainer = Trainer(copy_for_fold("loss", make_loss(experiment)), **arithmetic)
    require_callbacks(experiment.callbacks)
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    count = min(experiment.batch_size, len(labels))
    targets = torch.tensor([labels[i * len(labels) // count] for i in range(count)], device=trainer.device)
    trainer.move_model(model)
    with seeded(0), torch.random.fork_rng(devices), _restored(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run itself will show them
        inputs = _inputs(experiment, transform, trainer, min(IMAGES if callable(experiment.model) else 2, count))
        return _step(experiment, model, trainer, inputs, targets, classes)


def _step(
    experiment: Experiment, model: nn.Module, trainer: Trainer, inputs: Tensor, targets: Tensor, classes: int
) -> list[str]:
    optimizer = make_optimizer(experiment, model)
    notes = _optimizer_notes(experiment, model, optimizer)
    make, _ = make_scheduler(experiment)
    # the shortest schedules of our own are for two steps
    epochs = experiment.epochs if callable(experiment.scheduler) else max(2, experiment.epochs)
    scheduler = None if make is None else make(optimizer, epochs)
    losses = []
    for training in (True, False):
        model.train(training)
        with torch.set_grad_enabled(training):
            output = _forward(experiment, model, trainer, inputs, classes)
            logits = output.float()[torch.arange(len(targets), device=output.device) % len(output)]
            with _calling(experiment, "loss"):
                loss = trainer.loss_of(logits, targets)
            losses.append(loss.detach())
            if training:
                optimizer.zero_grad(set_to_none=True)
                with _calling_backward(experiment, model):
                    loss.backward()  # type: ignore[no-untyped-call]
                if callable(experiment.optimizer) or callable(experiment.scheduler):
                    with _calling(experiment, "optimizer"):
                        optimizer.step()
                _require_gradients(experiment, model)
                notes += output_notes(output)
    if not all(value.isfinite() for value in losses):
        notes.append(f"the loss of {len(targets)} images of noise is {losses[0].item():g} before the first step")
    if callable(experiment.scheduler):
        notes += _step_scheduler(experiment, scheduler, optimizer)
    return notes


def _forward(experiment: Experiment, model: nn.Module, trainer: Trainer, inputs: Tensor, classes: int) -> Tensor:
    """The model's output, as it returns it."""
    if not callable(experiment.model):
        try:
            return trainer.forward(model, inputs)
        except (ValueError, RuntimeError) as error:  # BatchNorm of one image of one pixel, say
            what = (
                f"{experiment.model} cannot take batches of {len(inputs)} images of {size_text(experiment.image_size)}"
            )
            raise ModelError(what, str(error), "-s batch_size=32, or a larger image_size") from error
    with calling_forward(model, experiment.model):
        with trainer.autocast():
            output: Any = model(inputs)
        require_logits(output, model, inputs, classes)
    return output  # type: ignore[no-any-return]


def _optimizer_notes(experiment: Experiment, model: nn.Module, optimizer: Optimizer) -> list[str]:
    """What an optimizer leaves out of the model. Raises UserCodeError for one that has nothing of it."""
    wanted = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not wanted & given:
        must = "an optimizer over the parameters that it was given, and this one has none of them"
        raise returned("optimizer", experiment.optimizer, optimizer, must)
    if wanted <= given:
        return []
    return [f"optimizer {name_of(experiment.optimizer)} changes {len(wanted & given)} of the {len(wanted)} weights"]


def _require_gradients(experiment: Experiment, model: nn.Module) -> None:
    """Raises UserCodeError where the backward pass has reached nothing of the model."""
    if any(parameter.grad is not None for parameter in model.parameters()):
        return
    part = "loss" if callable(experiment.loss) else "model"
    raise UserCodeError(
        f"{title(part, getattr(experiment, part))} gives the weights no gradient, so nothing would be learned",
        "the loss is not computed from the logits, or the logits are not computed from the weights",
        "compute both by torch, without item(), detach(), torch.tensor(...) or requires_grad=True",
    )


def _step_scheduler(experiment: Experiment, scheduler: Any, optimizer: Optimizer) -> list[str]:
    """Steps a user's scheduler as often as a run does at most."""
    with calling("scheduler", scheduler.step if place_of(scheduler.step) else experiment.scheduler):
        for _ in range(min(1000, experiment.epochs)):
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(0.0)
            else:
                scheduler.step()
    if getattr(scheduler, "optimizer", optimizer) is optimizer:
        return []
    return [f"scheduler {name_of(experiment.scheduler)} is one of another optimizer, and changes nothing here"]


def _inputs(experiment: Experiment, transform: Transform, trainer: Trainer, count: int) -> Tensor:
    """(count, C, H, W) float32 on the device: noise, augmented and normalised as images are."""
    images = torch.randint(0, 256, (count, *transform.shape), dtype=torch.uint8)
    if callable(experiment.augment):
        augment = experiment.augment
        with contextlib.suppress(Exception):  # a copy, because it may be an object that counts its calls
            augment = copy.deepcopy(augment)
        for position in range(count):
            images[position] = augmented(augment, images[position], transform.preparation)
    inputs: Tensor = trainer.to_device(transform.normalise(images))
    return inputs


@contextlib.contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Within, the model may be trained; afterwards its weights, its buffers and its modes are what they were."""
    modes = {module: module.training for module in model.modules()}
    copies = [
        (value, value.detach().clone()) for value in (*model.parameters(), *model.buffers()) if _may_change(value)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for value, before in copies:
                value.copy_(before)
        model.zero_grad(set_to_none=True)
        for module, training in modes.items():
            module.training = training


def _may_change(value: Tensor) -> bool:
    return value.requires_grad or not isinstance(value, nn.Parameter)


def _calling(experiment: Experiment, part: str) -> AbstractContextManager[None]:
    """`calling`, if the experiment brings a function for that field."""
    function = getattr(experiment, part)
    return calling(part, function) if callable(function) else contextlib.nullcontext()


def _calling_backward(experiment: Experiment, model: nn.Module) -> AbstractContextManager[None]:
    """`calling` for the backward pass, which is of the model and the loss."""
    if not callable(experiment.model):
        return _calling(experiment, "loss")
    name = f"{forward_name(model)}, or loss {name_of(experiment.loss)}" if callable(experiment.loss) else ""
    function = model if place_of(model) else experiment.model
    return calling("forward", function, f"{name or forward_name(model)} in the backward pass")
