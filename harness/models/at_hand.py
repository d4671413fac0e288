"""Checks whether ImageNet weights are available: on disk, or from the network."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from harness.errors import ModelError

SECONDS = 4.0  # timeout for the server


def imagenet_at_hand(name: str) -> str:
    """Returns where torchvision's default weights of a model are: "disk", "network", or "" if neither has them.

    It asks the server for the file's size and downloads nothing. Raises ModelError if the model has no weights.
    """
    from harness.models.torchvision_models import default_weights_address

    address = default_weights_address(name)
    if _is_on_disk(address):
        return "disk"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=SECONDS):
            return "network"
    except (OSError, ValueError):  # no network, a proxy that refuses, an unknown certificate
        return ""


def imagenet_on_disk(name: str) -> bool:
    """Returns whether torchvision's default weights of a model were downloaded before; False for other models."""
    from harness.models.torchvision_models import default_weights_address

    try:
        return _is_on_disk(default_weights_address(name))
    except ModelError:
        return False


def _is_on_disk(address: str) -> bool:
    import torch

    return (Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]).is_file()
