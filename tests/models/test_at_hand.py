"""Weights are searched on disk first. The network is asked without a download."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from harness.errors import ModelError
from harness.models.at_hand import imagenet_at_hand
from harness.models.torchvision_models import default_weights_address


def test_imagenet_at_hand_says_where_the_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[urllib.request.Request] = []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: asked.append(request) or io.BytesIO())
    assert imagenet_at_hand("resnet18") == "network"
    assert [(request.get_method(), request.full_url) for request in asked] == [
        ("HEAD", default_weights_address("resnet18"))
    ]
    file = tmp_path / "checkpoints" / default_weights_address("resnet18").rpartition("/")[2]
    file.parent.mkdir()
    file.write_bytes(b"")
    assert imagenet_at_hand("resnet18") == "disk"
    assert len(asked) == 1


def test_imagenet_at_hand_without_network_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert imagenet_at_hand("resnet18") == ""
    with pytest.raises(ModelError, match="small_cnn has no ImageNet weights"):
        imagenet_at_hand("small_cnn")
