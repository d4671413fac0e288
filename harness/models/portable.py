"""A model that includes its normalisation and its softmax, for exported files."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models.saved import SavedModel


class Portable(nn.Module):
    """A module from uint8 images to logits and calibrated probabilities.

    Input: (B, H, W, C) uint8, the layout of Pillow and numpy, in the image size of the training, not scaled. Output:
    logits (B, classes), and softmax(logits / temperature) of the same shape.

    Args:
        saved: The model, its normalisation and its temperature.
    """

    bias: Tensor
    scale: Tensor

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model = without_compiling(saved.model)
        self.temperature = saved.temperature
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (saved.transform.mean, saved.transform.std))
        self.register_buffer("bias", -mean / std)
        self.register_buffer("scale", 1 / (255 * std))
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Runs `Transform.normalise`, the model, and a softmax."""
        inputs = torch.addcmul(self.bias, images.permute(0, 3, 1, 2).float(), self.scale)
        logits = self.model(inputs).float()
        return logits, (logits / self.temperature).softmax(1)


def without_compiling(model: nn.Module) -> nn.Module:
    """Returns the module inside a `torch.compile` wrapper, because the wrapper cannot be exported."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model


def channels_last_arrays(images: Tensor) -> Tensor:
    """Returns (B, C, H, W) images as the contiguous (B, H, W, C) that `Portable` needs."""
    return images.permute(0, 2, 3, 1).contiguous()
