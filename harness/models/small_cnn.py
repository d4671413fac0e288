from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Four blocks of convolution, BatchNorm, ReLU and halving, then global average pooling and a linear head.

    It has about 98,000 parameters, for tests, quick trials and laptops. (B, C, H, W) -> (B, classes), for any H and W
    of at least 16.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        widths = (channels, 16, 32, 64, 128)
        self.blocks = nn.Sequential(
            OrderedDict((f"block{i}", _block(widths[i - 1], widths[i])) for i in range(1, len(widths)))
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.blocks(images)).flatten(1))
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)
    )
