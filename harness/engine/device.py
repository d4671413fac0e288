"""Chooses the device of a run."""

from __future__ import annotations

import torch

from harness.errors import UsageError


def choose_device(asked: str | torch.device = "auto") -> torch.device:
    """Returns the device `asked` for; "auto" is the fastest one available. Raises UsageError if it is not available."""
    if asked == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(asked)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("harness trains on cpu, cuda or mps")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error) or "torch cannot use it").splitlines()[0]
        raise UsageError(f"device {str(asked)!r} is not available", reason, "--device auto") from error
    return device
