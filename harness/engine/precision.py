"""Chooses the dtype of the computation, and says why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.errors import UsageError

NAMES = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Precision:
    """The settings of autocast and the gradient scaler. There is one code path: fp32 switches both off."""

    name: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        return torch.float16 if self.name == "fp16" else torch.bfloat16

    @property
    def mixed(self) -> bool:
        """Whether matrix products use `dtype`. Weights, losses and sums are always 32-bit."""
        return self.name != "fp32"

    @property
    def scaled(self) -> bool:
        """Whether gradients must be scaled: fp16 has too few exponent bits for small ones. Bf16 has as many as fp32."""
        return self.name == "fp16"


def choose_precision(asked: str, device: torch.device) -> Precision:
    """Returns the precision `asked` for; "auto" is the best one for `device`. Raises UsageError if unsupported."""
    if asked == "auto":
        return _best(device)
    if asked not in NAMES:
        raise UsageError(f"precision {asked!r} is unknown", f"known: {', '.join(NAMES)}", "-s precision=auto")
    if asked == "fp16" and device.type != "cuda":
        raise UsageError(
            f"precision fp16 does not train on {device.type}",
            "it needs a CUDA device; elsewhere it is slow, and torch replaces it without a message",
            "-s precision=bf16, or -s precision=auto",
        )
    return Precision(asked, "as requested")


def precision_or_auto(asked: str, device: torch.device) -> Precision:
    """Returns the precision `asked` for if `device` supports it, else the best one. For a model made elsewhere."""
    try:
        return choose_precision(asked, device)
    except UsageError:
        return _best(device)


def _best(device: torch.device) -> Precision:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):  # Ampere (2020) and newer, and AMD
            return Precision("bf16", "this GPU computes it in hardware")
        if torch.cuda.get_device_capability(device) >= (7, 0):  # Volta (2017), the first with tensor cores
            return Precision("fp16", "this GPU has tensor cores for it, but none for bf16")
        return Precision("fp32", "this GPU has no tensor cores")
    if device.type == "cpu":
        flags = cpu_flags() & {"avx512_bf16", "amx_bf16", "arm_bf16", "bf16"}
        if flags:
            return Precision("bf16", f"this CPU computes it in hardware ({', '.join(sorted(flags))})")
        return Precision("fp32", "this CPU reports no bf16 instructions, and without them bf16 is slower")
    return Precision("fp32", f"the safe choice on {device.type}")


def cpu_flags() -> set[str]:
    """Returns the instruction sets that this CPU reports; empty if the system does not report them."""
    ask: Any = getattr(torch.cpu, "get_capabilities", None)  # torch 2.11 and newer
    if ask is not None:
        return {name for name, present in ask().items() if present is True}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
