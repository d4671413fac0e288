"""Whether ImageNet's weights can be had here: on the disk, or from the network."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from harness.errors import ModelError

SECONDS = 4.0  # until a server that does not answer counts as out of reach


def imagenet_at_hand(name: str) -> str:
    """Where torchvision's default weights of the model `name` are: "disk", "network", or "" if neither has them.

    The server is asked for the size of the file; nothing is downloaded. Raises ModelError if the model has none.
    """
    from harness.models.torchvision_models import default_weights_address

    address = default_weights_address(name)
    if _is_on_disk(address):
        return "disk"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=SECONDS):
            return "network"
    except (OSError, ValueError):  # no network, a proxy that refuses, a certificate that is not known
        return ""


def imagenet_on_disk(name: str) -> bool:
    """Whether torchvision's default weights of the model `name` were downloaded before; False for other models."""
    from harness.models.torchvision_models import default_weights_address

    try:
        return _is_on_disk(default_weights_address(name))
    except ModelError:
        return False


def _is_on_disk(address: str) -> bool:
    import torch

    return (Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]).is_file()
