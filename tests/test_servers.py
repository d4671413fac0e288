from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from harness.errors import HarnessError, UsageError
from harness.servers import HOST, Server, free_port, running

SERVE = [sys.executable, "-m", "http.server", "--bind", HOST]


def server(port: int, *command: str) -> Server:
    return Server("Pages", [*(command or (*SERVE, str(port)))], port, "/nothing")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_servers_answer_within_and_are_gone_after(tmp_path: Path) -> None:
    ports = [free_port(None, 17000, "--port"), free_port(None, 17100, "--port")]
    with running([server(port) for port in ports]):
        assert all(is_open(port) for port in ports)
    assert not any(is_open(port) for port in ports)


def test_the_next_free_port_is_taken_unless_one_is_asked_for() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(None, port, "--port") in range(port + 1, port + 20)
        with pytest.raises(UsageError, match=f"port {port} cannot be used") as caught:
            free_port(port, 6006, "--mlflow-port")
        assert "--mlflow-port" in caught.value.fix


def test_a_server_that_ends_at_once_says_its_last_words_and_the_others_are_stopped() -> None:
    port = free_port(None, 17200, "--port")
    broken = server(1, sys.executable, "-c", "import sys; print('one'); sys.exit('no such thing')")
    with pytest.raises(HarnessError, match="exit code 1") as caught, running([server(port), broken]):
        pass
    assert "no such thing" in caught.value.why
    assert not is_open(port)


@pytest.mark.skipif(os.name != "posix", reason="processes have no groups there")
def test_one_that_does_not_listen_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.servers.STOP_SECONDS", 0.3)
    port = free_port(None, 17300, "--port")
    stubborn = f"import signal, subprocess; signal.signal(15, signal.SIG_IGN); subprocess.call({[*SERVE, str(port)]!r})"
    with running([server(port, sys.executable, "-c", stubborn)]):
        assert is_open(port)
    for _ in range(100):  # the system takes its time to clear up
        if not is_open(port):
            return
        time.sleep(0.05)
    raise AssertionError("a worker has outlived its server")
