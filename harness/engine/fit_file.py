"""Reads and writes the file of `FitCheckpoint`: tensors and plain values. Loading it runs no code."""

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
    """Writes a file beside `path`, syncs it, and renames it to `path`. Raises StorageError."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_whole(path, buffer.getbuffer())


def read_fit(path: Path) -> dict[str, Any]:
    """Reads on the CPU what `write_fit` wrote. Its value `fit` is for `Trainer.fit(..., resume=...)`.

    Raises:
        ModelError: The file does not exist, is damaged, or is not the state of a fit.
    """
    try:
        require_intact(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise _unreadable(path, "it does not exist") from error
    except Exception as error:  # torch raises many kinds of exceptions for a damaged file
        raise _unreadable(
            path, f"damaged: {(str(error).splitlines() or [type(error).__name__])[0].split('. ')[0]}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _unreadable(path, f"it is not of the format {FORMAT}")
    return content


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"the state in {path} cannot be read", why, "start a new run, without --resume")
