"""Which process did something, and whether it is still there."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Plain values that name this process, on this machine, for as long as there are machines."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": _since(os.getpid())}


def has_ended(process: Mapping[str, Any]) -> bool | None:
    """Whether that process has ended; None where nobody here can know: it is another machine's, or the system's own."""
    if process.get("host") != socket.gethostname() or os.name != "posix":
        return None  # on Windows, asking could end it
    try:
        pid = int(process.get("pid", 0))
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError, TypeError):
        return None
    return bool(process.get("since")) and _since(pid) != process["since"]  # the number belongs to another one now


def _since(pid: int) -> str:
    """When a process began, in ticks since the machine did; nothing where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
