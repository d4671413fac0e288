"""Probabilities and features of images, from one model or several. Computes the same as `harness test`."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.engine.device import choose_device
from harness.engine.precision import precision_or_auto
from harness.engine.trainer import Trainer
from harness.errors import ModelError
from harness.models.build import head_names, supports_channels_last
from harness.models.pooling import pooled
from harness.models.saved import SavedModel
from harness.util.memory import keep_freed_memory

GPU_BATCH = 64  # on a GPU each batch is filled to this size, because its sums depend on the batch size


class Classifier(Protocol):
    """The interface for predictions: a checkpoint, an exported file, or the mean of several models."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def transform(self) -> Transform:
        """How an image becomes an input; `transform.preparation` makes an array."""

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """(B, classes) probabilities of images (B, C, H, W) uint8, prepared by `transform.preparation`."""


class Predictor:
    """One model, or the mean probabilities of several with the same classes and inputs.

    Args:
        models: In eval mode. They are moved to the device.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best available one.

    Raises:
        UsageError: There is no such device.
        ModelError: The models differ in their classes or inputs.
    """

    def __init__(self, models: Sequence[SavedModel], device: str = "auto") -> None:
        first = models[0]
        if any((m.classes, m.transform.preparation) != (first.classes, first.transform.preparation) for m in models):
            raise ModelError(
                "these models cannot be an ensemble",
                "they differ in their classes or in the preparation of images",
                "use the models of one run",
            )
        self.models = tuple(models)
        self.device = choose_device(device)
        asked = str(first.experiment.get("precision", "auto"))
        self._trainer = Trainer(precision=precision_or_auto(asked, self.device), device=self.device)
        self._trainer.channels_last = all(
            supports_channels_last(model.model, model.transform.shape, self.device) for model in models
        )
        for model in models:
            self._trainer.move_model(model.model).eval()
        if self.device.type == "cpu":
            keep_freed_memory()
        # the forward pass of a user's module may change its state, so threads take turns
        own = any(":" in model.architecture for model in models)
        self._alone: AbstractContextManager[object] = threading.Lock() if own else contextlib.nullcontext()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.models[0].classes

    @property
    def transform(self) -> Transform:
        return self.models[0].transform

    @property
    def preparation(self) -> Preparation:
        """How an image becomes an array."""
        return self.transform.preparation

    @property
    def precision(self) -> str:
        """The name of the precision that the models run in."""
        return self._trainer.precision.name

    def with_models(self, models: Sequence[SavedModel]) -> Predictor:
        """Returns a copy with some of its models."""
        other = copy.copy(self)
        other.models = tuple(models)
        return other

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Calibrated probabilities.

        Args:
            images: (B, C, H, W) uint8, prepared by `preparation`.

        Returns:
            (B, classes); each row's sum is 1. What one image gives does not depend on the others.

        Raises:
            ModelError: The model gives nan or inf.
        """
        count = len(images)
        if self.device.type != "cpu" and count < GPU_BATCH:
            images = torch.cat([images, images[:1].expand(GPU_BATCH - count, -1, -1, -1)])
        with self._alone:
            parts = [self._one(model, images)[:count] for model in self.models]
        mean: NDArray[np.float64] = np.mean(parts, axis=0)
        if not np.isfinite(mean).all():
            raise ModelError(
                f"the model returns nan or inf for {int((~np.isfinite(mean)).any(1).sum())} of {count} images",
                "its weights are damaged, or its values overflow in this precision",
                "name another checkpoint, or a model that was trained with -s precision=fp32",
            )
        return mean

    def features(self, images: Tensor) -> NDArray[np.float32]:
        """The inputs of the first model's head: embeddings for search and clustering.

        Args:
            images: (B, C, H, W) uint8, prepared by `preparation`.

        Returns:
            (B, F) float32. Maps (B, F, h, w) are averaged over their pixels, and tokens (B, T, F) over the tokens.

        Raises:
            ModelError: The model has no linear or convolutional head.
        """
        model = self.models[0]
        with self._alone, _head_input(model.model, model.architecture) as inputs:
            self._one(model, images)
        if not inputs:
            raise _no_features(model.architecture)
        return pooled(inputs[-1])

    def _one(self, model: SavedModel, images: Tensor) -> NDArray[np.float64]:
        trainer = self._trainer
        if any(
            module.training for module in model.model.modules()
        ):  # users get `module`, and may have set it to training mode
            model.model.eval()
        with torch.inference_mode():
            inputs = model.transform.normalise(trainer.to_device(images))
            logits = trainer.forward(model.model, inputs)
            values: NDArray[np.float64] = (logits.cpu().double() / model.temperature).softmax(1).numpy()
        return values


@contextlib.contextmanager
def _head_input(model: nn.Module, architecture: str) -> Iterator[list[Tensor]]:
    """Yields a list, to which each forward pass adds the input of the model's head."""
    head_inputs: list[Tensor] = []
    names = [name for name in head_names(model) if name]
    heads = [model.get_submodule(name) for name in names]
    layers = [layer for head in heads for layer in head.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    if not layers:
        raise _no_features(architecture)
    hook = layers[-1].register_forward_pre_hook(lambda _, inputs: head_inputs.append(inputs[0].detach().clone()))
    try:
        yield head_inputs
    finally:
        hook.remove()


def _no_features(architecture: str) -> ModelError:
    return ModelError(
        f"{architecture.rpartition(':')[2]} has no features",
        "its last layer is not a linear layer or a convolution, so its features are unknown",
        "end the model with torch.nn.Linear(features, classes)",
    )
