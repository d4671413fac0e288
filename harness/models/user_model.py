"""Initialises and checks a model that a user's function makes: its output must be logits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from harness.engine.return_checks import forward_name, require_tensor, when
from harness.errors import UserCodeError
from harness.util.user_code import calling, place_of, returned, title


@contextlib.contextmanager
def calling_forward(model: nn.Module, function: Callable[[int], Any]) -> Iterator[None]:
    """Turns an error of the forward pass into a UserCodeError. `function` is the function that made the model."""
    try:
        with calling("forward", model if place_of(model) else function, forward_name(model)):
            yield
    except UserCodeError as error:
        dtypes = {str(p.dtype).removeprefix("torch.") for p in model.parameters() if p.is_floating_point()}
        other = ", ".join(sorted(dtypes - {"float32"}))
        if other:
            error.why += f"; its parameters are {other}, but images are float32"
            error.fix = f"return model.float(); for mixed precision -s precision=bf16; {error.fix}"
        raise


def require_logits(output: Any, model: nn.Module, images: Tensor, classes: int) -> None:
    """Raises UserCodeError unless the output for `images` is logits: (B, classes), finite, on the images' device.

    In training they must have a gradient.
    """
    require_tensor(output, model)
    shape = (len(images), classes)

    def require(holds: bool, must: str) -> None:
        if not holds:
            raise returned("forward", model, output, f"{must}, {when(model)}", forward_name(model))

    require(output.shape == shape, f"logits: a tensor {shape} for {len(images)} images and {classes} classes")
    require(output.is_floating_point(), "logits: a tensor of floating-point numbers")
    require(output.device == images.device, f"a tensor on {images.device}, where the images are")
    require(bool(output.isfinite().all()), "finite numbers, but some of these are not")
    if torch.is_grad_enabled():
        require(output.requires_grad, "a tensor with a gradient: computed without no_grad(), detach(), argmax or numpy")


def initialise_lazy(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Gives lazy layers their shapes, by a forward pass of two blank images (C, H, W) in eval mode.

    Their weights are drawn now, so they depend only on the seed, like all others. Raises UserCodeError for a lazy layer
    that the forward pass does not use.
    """
    if not any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        return
    was_training = model.training
    with torch.no_grad(), calling("forward", model, forward_name(model)):  # weights made in inference mode cannot train
        model.eval()  # not chained: a user's `train` may return nothing
        model(torch.zeros(2, *shape))
    model.train(was_training)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(value):
            raise UserCodeError(
                f"{title('forward', model, forward_name(model))} does not use the lazy layer {name.rpartition('.')[0]}",
                "the layer's input is unknown, and therefore the shape of its weights",
                "remove that layer, or give it its number of inputs",
            )
