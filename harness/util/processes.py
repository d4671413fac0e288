"""Identifies processes, and checks whether they are still running."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# largest difference in seconds between two readings of one start time; on macOS, clock corrections change it
TOLERANCE = 0.5 if sys.platform == "linux" else 60.0


def this_process() -> dict[str, Any]:
    """Plain values that identify this process uniquely, on this machine and for all time."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": _since(os.getpid())}


def python_module(module: str, *arguments: str) -> list[str]:
    """The command `python -m MODULE`, but without the current folder in Python's search path.

    An untrusted project could contain a `torchvision.py`, which Python would import first.
    """
    start = "import sys; sys.path[:] = [p for p in sys.path if p]; import runpy; "
    return [sys.executable, "-c", f"{start}runpy.run_module({module!r}, None, '__main__', True)", *arguments]


def has_ended(process: Mapping[str, Any]) -> bool | None:
    """Whether a process has ended. None if it is of another machine or container, where it cannot be checked.

    True for a zombie process. False for a process that this user has no permission to inspect.
    """
    if process.get("host") != socket.gethostname():
        return None
    since = str(process.get("since") or "")
    if since and since.partition(":")[0] != _namespace():
        return None  # its process id is not valid here
    try:
        pid = int(process.get("pid") or -1)
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        return bool(since) and abs(float(since.partition(":")[2]) - _began(pid)) > TOLERANCE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return not _is_hidden(pid)
    except psutil.AccessDenied:
        return False
    except (ValueError, TypeError):
        return None


def kill_tree(pid: int) -> None:
    """Kills a process and all processes that it has started, directly or indirectly."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (*root.children(recursive=True), root):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _since(pid: int) -> str:
    """The namespace and the start time of a process; empty if the system does not provide them."""
    try:
        return f"{_namespace()}:{_began(pid):.15g}"
    except (OSError, psutil.Error):
        return ""


def _began(pid: int) -> float:
    """The start time of a process: on Linux in ticks since the machine started, elsewhere in seconds since 1970."""
    if sys.platform != "linux":
        return float(psutil.Process(pid).create_time())
    # psutil's create_time() depends on the clock: after a correction, a running process would look like another one
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def _is_hidden(pid: int) -> bool:
    """Whether it is a process of another user that /proc hides, because it is mounted with hidepid=2."""
    if os.name == "posix":  # on Windows, os.kill would end it
        with contextlib.suppress(ProcessLookupError, OverflowError):
            try:
                os.kill(pid, 0)
            except PermissionError:
                return True
    return False


def _namespace() -> str:
    """The namespace of process ids since the machine has started. Each container has a separate namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').readlink().name[5:-1]}"
    except OSError:
        return ""


def network_addresses() -> list[str]:
    """The IP addresses of this machine, those of all its networks."""
    kinds = (socket.AF_INET, socket.AF_INET6)
    networks = psutil.net_if_addrs().values()
    return [each.address.partition("%")[0] for network in networks for each in network if each.family in kinds]
