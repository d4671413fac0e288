"""Whether ImageNet's weights can be had here: on the disk, or from the network."""

from __future__ import annotations

import urllib.request
from pathlib import Path

SECONDS = 4.0  # until a server that does not answer counts as out of reach


def imagenet_at_hand(name: str) -> str:
    """Where torchvision's default weights of the model `name` are: "disk", "network", or "" if neither has them.

    The server is asked for the size of the file; nothing is downloaded. Raises ModelError if the model has none.
    """
    import torch

    from harness.models.torchvision_models import default_weights_address

    address = default_weights_address(name)
    if (Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]).is_file():
        return "disk"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=SECONDS):
            return "network"
    except (OSError, ValueError):  # no network, a proxy that refuses, a certificate that is not known
        return ""
