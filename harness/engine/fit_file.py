"""The file that `FitCheckpoint` writes: tensors and plain values, whole or not there, and read without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from harness.engine.checkpoint import require_intact
from harness.errors import ModelError
from harness.util.files import write_whole

FORMAT = "harness-fit-1"


def write_fit(path: Path, content: dict[str, Any]) -> None:
    """Writes the file beside `path`, syncs it, and renames it. Raises StorageError."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_whole(path, buffer.getbuffer())


def read_fit(path: Path) -> dict[str, Any]:
    """What `write_fit` has written, on the CPU: `fit` is for `Trainer.fit(..., resume=...)`.

    Raises:
        ModelError: The file is not there, is damaged, or is no state of a fit.
    """
    try:
        require_intact(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise _unreadable(path, "it is not there") from error
    except Exception as error:  # what torch raises of a damaged file is of any kind
        raise _unreadable(
            path, f"damaged: {(str(error).splitlines() or [type(error).__name__])[0].split('. ')[0]}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _unreadable(path, f"it is not of the format {FORMAT}")
    return content


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"the state in {path} cannot be read", why, "begin a new run, without --resume")
