"""Where the servers of `harness ui` can be reached: on this machine, from another one, and over SSH."""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from shlex import quote

from harness.util.processes import network_addresses

HOST = "127.0.0.1"  # this machine alone: no server asks for a password
NAMES = "HARNESS_UI_HOSTS"  # environment variable: the other names that a server may be called by


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def url(host: str, port: int) -> str:
    """The address of a server that listens on `host`, for a browser."""
    return f"http://{_bracketed(socket.gethostname() if _is_any(host) else host)}:{port}"


def own_url(host: str, port: int) -> str:
    """The same for this machine."""
    if _is_any(host):
        host = "::1" if ":" in host else HOST
    return f"http://{_bracketed(host)}:{port}"


def names_of(host: str) -> list[str]:
    """The names and addresses that a browser may call a server by; none if only this machine can reach it.

    A server that answers to every name could be read by a page of another site (DNS rebinding).
    """
    if is_local(host):
        return []
    name = socket.gethostname()
    names = [name, f"{name}.local", socket.getfqdn()] if _is_any(host) else [host]
    names += network_addresses() if _is_any(host) else []
    return [*dict.fromkeys(_bracketed(each.lower()) for each in names)]


def exposure_warning(host: str) -> list[str]:
    """What everybody can do if a server listens on a host that others can reach; empty if they cannot."""
    if is_local(host):
        return []
    return [
        f"warning: --host {host} opens these pages to everyone who can reach this machine. No password is asked:",
        "  they can see all runs and images, and change or delete runs in MLflow.",
        "  Without --host, only this machine can open them; over SSH, forward the ports.",
    ]


def forwarding(ports: Sequence[int], host: str = HOST, environment: Mapping[str, str] = os.environ) -> list[str]:
    """What to type on the other machine if this one is used over SSH; empty if it is not.

    There, ssh itself listens on 127.0.0.1 and ::1, so that the addresses of `url` open.
    """
    connection = environment.get("SSH_CONNECTION", "").split()
    if not connection or not ports:
        return []
    address, number = connection[2:4] if len(connection) == 4 else ("HOST", "22")
    port = "" if number == "22" else f"-p {number} "
    target = _bracketed(host)
    own = "" if host.lower() in (HOST, "::1", "localhost") else f"{target}:"
    forwards = " ".join(f"-L {quote(f'{own}{each}:{target}:{each}')}" for each in ports)
    return [
        "You are connected over SSH. Type this on your own machine, then open the addresses there:",
        f"  ssh -N {port}{forwards} {quote(f'{_user()}@{address}')}",
    ]


def _user() -> str:
    with contextlib.suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "USER"


def _is_any(host: str) -> bool:
    """Whether it means all addresses of this machine."""
    return host in ("", "0.0.0.0", "::")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
