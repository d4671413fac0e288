"""Which process did something, and whether it is still there."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Plain values that name this process, on this machine, for as long as there are machines."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": _since(os.getpid())}


def python_module(module: str, *arguments: str) -> list[str]:
    """The command `python -m MODULE`, but for the current folder: Python would look there for modules first.

    A project that somebody sent could bring a `torchvision.py`.
    """
    start = "import sys; sys.path[:] = [p for p in sys.path if p]; import runpy; "
    return [sys.executable, "-c", f"{start}runpy.run_module({module!r}, None, '__main__', True)", *arguments]


def has_ended(process: Mapping[str, Any]) -> bool | None:
    """Whether that process has ended; None where nobody here can know: it is another machine's, or container's."""
    if process.get("host") != socket.gethostname() or os.name != "posix":
        return None  # on Windows, asking could end it
    since = str(process.get("since") or "")
    if since and since.partition(":")[0] != _namespace():
        return None  # its number means nothing here
    try:
        pid = int(process.get("pid", 0))
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError, TypeError):
        return None
    return _is_zombie(pid) or bool(since and _since(pid) != since)  # the number belongs to another one now


def _since(pid: int) -> str:
    """Among which processes one counts, and when it began, in ticks; nothing where the system does not say."""
    fields = _fields(pid)
    return f"{_namespace()}:{fields[19]}" if fields else ""


def _is_zombie(pid: int) -> bool:
    """Whether it has ended, and only whoever started it has not looked."""
    return _fields(pid)[:1] == ["Z"]


def _fields(pid: int) -> list[str]:
    """What Linux says of a process after its name: its state first, the 20th when it began."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _namespace() -> str:
    """Which processes have numbers together, since the machine has started: a container has numbers of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').readlink().name[5:-1]}"
    except OSError:
        return ""
