"""The digest of a frozen prefix, which is the key of its features in the cache."""

from __future__ import annotations

import hashlib
from types import MethodType

import torch
from torch import fx, nn

from harness.models.code_identity import UnknownCodeError, identity_of, version_of
from harness.models.freezing import is_frozen_alone

EVERY_MODULE = {*vars(nn.Module())}  # attributes that are not settings


def digest(prefix: fx.GraphModule) -> str:
    """Returns the SHA-256 of everything that the prefix computes from: its steps, code, settings and weights."""
    sha256 = hashlib.sha256("\n".join([prefix.code, *code_of(prefix)]).encode())
    tensors = *prefix.named_parameters(remove_duplicate=False), *prefix.named_buffers(remove_duplicate=False)
    for name, value in tensors:  # these include buffers that are not in a state dict
        sha256.update(f"{name}: {value.dtype} {tuple(value.shape)}\n".encode())
        sha256.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def code_of(prefix: fx.GraphModule) -> list[str]:
    """Returns the code of the functions that the prefix calls, and the classes and settings of its layers.

    Raises UnknownCodeError if one of them cannot be identified.
    """
    called = [node.target for node in prefix.graph.nodes if node.op == "call_function"]
    lines = [identity_of(function) for function in called]
    for name, module in prefix.named_modules():
        if module is prefix:
            continue
        kind = type(module).__base__ if is_frozen_alone(module) else type(module)
        own = {key: value for key, value in vars(module).items() if key not in EVERY_MODULE}
        settings = {key: _setting(value) for key, value in sorted(own.items())}
        lines.append(f"{name}: {identity_of(kind)} ({module.extra_repr()}) {settings}")
    return lines


def _setting(value: object) -> str:
    """Returns the identity of an attribute of a layer; for a library's objects, only their class."""
    if isinstance(value, (tuple, list)):
        return str([_setting(item) for item in value])
    try:
        # for a method that replaces one of the layer's methods, only its function matters: the layer is known
        return identity_of(value.__func__ if isinstance(value, MethodType) else value)
    except UnknownCodeError:
        kind = type(value)
        if version_of(kind.__module__) is None:
            raise
        return kind.__qualname__
