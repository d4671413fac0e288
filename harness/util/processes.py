"""Which process did something, and whether it is still there."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# Between two readings of one start: on macOS, a correction of the clock moves it
TOLERANCE = 0.5 if sys.platform == "linux" else 60.0


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
    """Whether that process has ended; None where nobody here can know: it is another machine's, or container's.

    A zombie has ended. A process that this user may not look at has not.
    """
    if process.get("host") != socket.gethostname():
        return None
    since = str(process.get("since") or "")
    if since and since.partition(":")[0] != _namespace():
        return None  # its number means nothing here
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
    """Kills a process and all that it has started, also through others."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _since(pid: int) -> str:
    """Among which processes one counts, and when it began; nothing where the system does not say."""
    try:
        return f"{_namespace()}:{_began(pid):.15g}"
    except (OSError, psutil.Error):
        return ""


def _began(pid: int) -> float:
    """When a process began: on Linux in ticks since the machine started, elsewhere in seconds since 1970."""
    if sys.platform != "linux":
        return float(psutil.Process(pid).create_time())
    # psutil's create_time() follows the clock: after a correction, a running process would seem to be another one
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def _is_hidden(pid: int) -> bool:
    """Whether it is a process of another user that /proc does not show, since it is mounted with hidepid=2."""
    if os.name == "posix":  # on Windows, os.kill would end it
        with contextlib.suppress(ProcessLookupError, OverflowError):
            try:
                os.kill(pid, 0)
            except PermissionError:
                return True
    return False


def _namespace() -> str:
    """Which processes have numbers together, since the machine has started: a container has numbers of its own."""
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
