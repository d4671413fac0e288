"""Tests an experiment before the run: one step of training and one of validation, on noise images."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
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
from harness.models.build import copied
from harness.models.prefix import Cut
from harness.models.user_model import calling_forward, require_logits
from harness.training.copy_checks import copy_for_fold, require_callbacks
from harness.training.optimizers import make_loss, make_optimizer, make_scheduler
from harness.training.plan_notes import output_notes
from harness.training.torch_errors import OUT_OF_MEMORY, naming_torch_errors
from harness.util.text import size_text
from harness.util.user_code import calling, name_of, place_of, returned, title

IMAGES = 8  # images of a step on a CPU; 2 for named models. Outputs are repeated so that the loss gets a whole batch


@dataclass(frozen=True)
class Sizes:
    """Numbers of images in the batches of a run.

    Attributes:
        whole: Size of most training batches.
        last: Size of the smallest last training batch.
    """

    whole: int
    last: int


def batch_sizes(lengths: Iterable[int], batch_size: int) -> Sizes:
    """Returns the batch sizes for training sets of these `lengths`. A last batch of one joins the batch before."""
    lengths = [*lengths]
    rests = [length % batch_size for length in lengths if length > batch_size]
    whole = min(batch_size, *lengths)
    return Sizes(whole, min([rest for rest in rests if rest > 1], default=whole))


def rehearse(
    experiment: Experiment,
    model: nn.Module,
    transform: Transform,
    labels: Sequence[int],
    classes: int,
    arithmetic: Mapping[str, Any],
    sizes: Sizes,
    cut: Cut | None = None,
) -> list[str]:
    """Calls each function of the experiment, except the hooks of callbacks.

    A copy of the model takes a step with the run's device, precision and memory format: on a whole batch on a GPU, on
    at most `IMAGES` images on a CPU. It also gets a batch of the last one's size, and is validated on several images
    and on one image. All random states are restored.

    Args:
        experiment: Has the functions.
        model: The model that a fold trains. It is changed only if it cannot be copied.
        transform: From a decoded image to the model's input.
        labels: Of the training images.
        classes: Number of logits.
        arithmetic: The run's device, precision and memory format, as parameters of `Trainer`.
        sizes: Of the run's batches.
        cut: The frozen prefix, if it runs once per image. Then only the rest trains.

    Returns:
        Warnings for the plan.

    Raises:
        ModelError: The model has nothing to train, or cannot be trained on such batches.
        UserCodeError: A function fails, or returns something that a run cannot use.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("the model has nothing to train", "none of its parameters has a gradient", "-s freeze=false")
    trainer = Trainer(copy_for_fold("loss", make_loss(experiment)), **arithmetic)
    require_callbacks(experiment.callbacks)
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    naming = naming_torch_errors("the model", sizes.whole, trainer.device)
    with naming, seeded(0), torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run itself shows them
        spare = trainer.move_model(copied(model))
        return _Rehearsal(experiment, spare, trainer, transform, classes, labels, cut).run(sizes)


@dataclass(frozen=True)
class _Rehearsal:
    experiment: Experiment
    model: nn.Module
    trainer: Trainer
    transform: Transform
    classes: int
    labels: Sequence[int]
    cut: Cut | None

    def run(self, sizes: Sizes) -> list[str]:
        """Runs a training step, a last batch, and validation. Returns warnings."""
        experiment = self.experiment
        if self.cut is not None:
            self.cut.apply(self.model)
        optimizer = make_optimizer(experiment, self.model, self.trainer.loss)
        notes = _optimizer_notes(experiment, self.model, optimizer)
        make, _ = make_scheduler(experiment)
        # the package's own schedules need at least two steps
        epochs = experiment.epochs if callable(experiment.scheduler) else max(2, experiment.epochs)
        scheduler = None if make is None else make(optimizer, epochs)
        inputs, targets = self._batch(sizes.whole)
        losses = [self._train(inputs, targets, optimizer, notes)]
        if sizes.last < sizes.whole:
            self._train(*self._batch(sizes.last), None, [])
        losses += [self._validate(inputs, targets), self._validate(inputs[:1], targets[:1])]
        if not all(value.isfinite() for value in losses):
            notes.append(f"the loss of {len(targets)} noise images is {losses[0].item():g} before the first step")
        if callable(experiment.scheduler):
            notes += _step_scheduler(experiment, scheduler, optimizer)
        return notes

    def _train(self, inputs: Tensor, targets: Tensor, optimizer: Optimizer | None, notes: list[str]) -> Tensor:
        """Runs a training step; without an optimizer, only its forward and backward pass. Adds warnings to `notes`."""
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        output, loss = self._loss(inputs, targets)
        with _calling_backward(self.experiment, self.model):
            loss.backward()  # type: ignore[no-untyped-call]
        self._require_gradients(output, targets, loss)
        notes += output_notes(output)
        if optimizer is not None and (callable(self.experiment.optimizer) or callable(self.experiment.scheduler)):
            with _calling(self.experiment, "optimizer"):
                optimizer.step()
        return loss.detach()

    def _validate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            return self._loss(inputs, targets)[1]

    def _loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (the model's output, unconverted; the loss)."""
        output = self._forward(inputs)
        logits = output.float()[torch.arange(len(targets), device=output.device) % len(output)]
        with _calling(self.experiment, "loss"):
            return output, self.trainer.loss_of(logits, targets)

    def _batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Returns (inputs, targets): noise images, or the frozen prefix's outputs. On a CPU there are fewer inputs."""
        targets = [self.labels[i * len(self.labels) // size] for i in range(size)]
        few = size if self.trainer.device.type == "cuda" else IMAGES if callable(self.experiment.model) else 2
        inputs = _inputs(self.experiment, self.transform, self.trainer, min(size, few if self.cut is None else IMAGES))
        if self.cut is not None:
            with torch.no_grad(), self.trainer.autocast():
                inputs = self.trainer.move_model(self.cut.prefix.eval())(inputs)
            inputs = inputs[torch.arange(min(size, few), device=inputs.device) % len(inputs)]
        return inputs, torch.tensor(targets, device=self.trainer.device)

    def _forward(self, inputs: Tensor) -> Tensor:
        experiment, model = self.experiment, self.model
        if not callable(experiment.model):
            try:
                return self.trainer.forward(model, inputs)
            except (ValueError, RuntimeError) as error:  # for example BatchNorm with one image of one pixel
                if any(words in str(error) for words in OUT_OF_MEMORY):
                    raise  # `naming_torch_errors` explains it
                size = size_text(experiment.image_size)
                what = f"{experiment.model} cannot take batches of {len(inputs)} images of {size}"
                raise ModelError(what, str(error), "-s batch_size=32, or a larger image_size") from error
        with calling_forward(model, experiment.model):
            with self.trainer.autocast():
                output: Any = model(inputs)
            require_logits(output, model, inputs, self.classes)
        return output  # type: ignore[no-any-return]

    def _require_gradients(self, output: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Raises UserCodeError if no parameter of the model got a gradient, or if the loss is constant."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if any(bool(gradient.any()) for gradient in gradients):
            return
        part = "loss" if callable(self.experiment.loss) else "model"
        why = "the loss is not computed from the logits, or the logits are not computed from the weights"
        if gradients:
            if not callable(self.experiment.loss) or self._varies(output, targets, loss):
                return
            why = f"it is {loss.item():g} for all logits"
        raise UserCodeError(
            f"{title(part, getattr(self.experiment, part))} gives the weights no gradient, so nothing can be learned",
            why,
            "compute both with torch, without item(), detach(), torch.tensor(...) or requires_grad=True",
        )

    def _varies(self, output: Tensor, targets: Tensor, loss: Tensor) -> bool:
        """Returns whether the loss changes with the logits."""
        others = torch.randn(len(targets), output.shape[1], device=output.device)
        tried = [self.trainer.loss_of((scale * others).requires_grad_(), targets) for scale in (1, 100)]
        return not all(torch.equal(other, loss) for other in tried)


def _optimizer_notes(experiment: Experiment, model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Warns about weights that the optimizer does not change. Raises UserCodeError if it changes none."""
    wanted = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not wanted & given:
        must = "an optimizer of the parameters that it receives, but this one has none of them"
        raise returned("optimizer", experiment.optimizer, optimizer, must)
    if wanted <= given:
        return []
    return [f"optimizer {name_of(experiment.optimizer)} changes {len(wanted & given)} of the {len(wanted)} weights"]


def _step_scheduler(experiment: Experiment, scheduler: Any, optimizer: Optimizer) -> list[str]:
    """Steps a user's scheduler as often as the run would, up to 1000 times."""
    with calling("scheduler", scheduler.step if place_of(scheduler.step) else experiment.scheduler):
        for _ in range(min(1000, experiment.epochs)):
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(0.0)
            else:
                scheduler.step()
    if getattr(scheduler, "optimizer", optimizer) is optimizer:
        return []
    return [f"scheduler {name_of(experiment.scheduler)} belongs to another optimizer, and has no effect here"]


def _inputs(experiment: Experiment, transform: Transform, trainer: Trainer, count: int) -> Tensor:
    """Returns (count, C, H, W) float32 noise on the device, augmented and normalised like images."""
    images = torch.randint(0, 256, (count, *transform.shape), dtype=torch.uint8)
    if callable(experiment.augment):
        augment = experiment.augment
        with contextlib.suppress(Exception):  # a copy, because it may be an object that counts its calls
            augment = copy.deepcopy(augment)
        for position in range(count):
            images[position] = augmented(augment, images[position], transform.preparation)
    inputs: Tensor = trainer.to_device(transform.normalise(images))
    return inputs


def _calling(experiment: Experiment, part: str) -> AbstractContextManager[None]:
    """Returns the context `calling` for a field that is a function of the user; for others, one that does nothing."""
    function = getattr(experiment, part)
    return calling(part, function) if callable(function) else contextlib.nullcontext()


def _calling_backward(experiment: Experiment, model: nn.Module) -> AbstractContextManager[None]:
    """Returns `calling` for the backward pass, which belongs to the model and the loss."""
    if not callable(experiment.model):
        return _calling(experiment, "loss")
    name = f"{forward_name(model)}, or loss {name_of(experiment.loss)}" if callable(experiment.loss) else ""
    function = model if place_of(model) else experiment.model
    return calling("forward", function, f"{name or forward_name(model)} in the backward pass")
