"""The device of a run."""

from __future__ import annotations

import torch

from harness.errors import UsageError


def choose_device(asked: str | torch.device = "auto") -> torch.device:
    """The device `asked` for, or with "auto" the best there is. Raises UsageError where it is not there."""
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
        raise UsageError(f"device {str(asked)!r} is not there", reason, "--device auto") from error
    return device
