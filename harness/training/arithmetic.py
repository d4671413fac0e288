"""The device of a run, and the torch settings that can change its numerical results."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch

CPU = (
    *("mkldnn.enabled", "mkldnn.matmul.fp32_precision", "mkldnn.conv.fp32_precision", "mkldnn.rnn.fp32_precision"),
    "mkldnn.deterministic",
)
CUDA = (
    *("cuda.matmul.fp32_precision", "cuda.matmul.allow_tf32", "cuda.matmul.allow_fp16_accumulation"),
    *("cuda.matmul.allow_bf16_reduced_precision_reduction", "cuda.matmul.allow_fp16_reduced_precision_reduction"),
    *("cudnn.enabled", "cudnn.benchmark", "cudnn.deterministic"),
    *("cudnn.allow_tf32", "cudnn.conv.fp32_precision", "cudnn.rnn.fp32_precision"),
)


def arithmetic_of(device: torch.device) -> dict[str, str]:
    """Returns the device, and each torch setting that can change numerical results on it.

    On a CPU with bf16, for example, `torch.set_float32_matmul_precision("medium")` changes fp32 matrix products.
    """
    readers: dict[str, Callable[[], object]] = {"matmul": torch.get_float32_matmul_precision}
    names = {"cuda": CUDA, "cpu": CPU}.get(device.type, ())
    if device.type == "cuda":
        readers |= {
            "device": lambda: torch.cuda.get_device_name(device),
            "cudnn": torch.backends.cudnn.version,
            "cuda": lambda: torch.version.cuda or torch.version.hip,
            "deterministic": torch.are_deterministic_algorithms_enabled,
        }
    else:
        capability = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
        readers |= {"device": lambda: f"{device.type} {capability}".strip()}
    readers |= {name: functools.partial(_setting, name) for name in names}
    return {name: _read(reader) for name, reader in readers.items()}


def _setting(name: str) -> object:
    return functools.reduce(getattr, name.split("."), torch.backends)


def _read(reader: Callable[[], object]) -> str:
    """Returns torch's value, or "" for a setting that this version does not have or cannot report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(reader())
        except (AttributeError, RuntimeError):
            return ""
