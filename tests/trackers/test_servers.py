from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from harness.errors import HarnessError, UsageError
from harness.trackers.servers import DIRECT, HOST, Server, dashboard, free_port, listen, mlflow, running, tensorboard
from harness.tuning.study import Study

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


@pytest.mark.skipif(os.name != "posix", reason="no path there has such letters")
@pytest.mark.parametrize(("name", "is_odd"), [("a b é", False), ("a%20b", True), ("a?b#c", True)])
def test_mlflow_finds_a_store_in_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_odd: bool
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    server = mlflow("sqlite:///mlflow.db", 1)
    address, links = server.environment["MLFLOW_BACKEND_STORE_URI"], server.links
    if is_odd:
        assert (address, links) == ("sqlite:///store.db", {"store.db": tmp_path / name / "mlflow.db"})
    else:
        assert (address, links) == (f"sqlite:///{tmp_path / name / 'mlflow.db'}", {})


def test_the_next_free_port_is_taken_unless_one_is_asked_for() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(None, port, "--port") in range(port + 1, port + 20)
        with pytest.raises(UsageError, match=f"port {port} cannot be used") as caught:
            free_port(port, 6006, "--mlflow-port")
        assert "--mlflow-port" in caught.value.fix


@pytest.mark.skipif(os.name != "posix", reason="a process cannot take a socket as its standard input there")
def test_listen_gives_each_a_port_and_a_page_waits_for_its_server() -> None:
    """Two that look for a port at one moment (harness ui, twice)."""
    first, second = (listen(None, 17600, "--port") for _ in range(2))
    assert isinstance(first, socket.socket)
    assert isinstance(second, socket.socket)
    port = first.getsockname()[1]
    assert second.getsockname()[1] > port
    with pytest.raises(UsageError, match=f"port {port} cannot be used"):
        listen(port, 6006, "--port")
    second.close()
    answers = [*SERVE[:1], "-c", "import socket; s = socket.socket(fileno=0); s.accept()[0].send(b'here'); input()"]
    late = Server("Late", answers, port, "/", listener=first)
    with socket.create_connection((HOST, port), timeout=20) as page:
        late.start()
        assert page.recv(4) == b"here"
        late.end(9)
        assert late.stopped(10)


def test_a_server_that_ends_at_once_says_its_last_words_and_the_others_are_stopped() -> None:
    port = free_port(None, 17200, "--port")
    broken = server(1, sys.executable, "-c", "import sys; print('one'); sys.exit('no such thing')")
    with pytest.raises(HarnessError, match="exit code 1") as caught, running([server(port), broken]):
        pass
    assert "no such thing" in caught.value.why
    assert not is_open(port)


@pytest.mark.skipif(os.name != "posix", reason="processes have no groups there")
def test_one_that_does_not_listen_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.trackers.servers.STOP_SECONDS", 0.3)
    port = free_port(None, 17300, "--port")
    stubborn = f"import signal, subprocess; signal.signal(15, signal.SIG_IGN); subprocess.call({[*SERVE, str(port)]!r})"
    with running([server(port, sys.executable, "-c", stubborn)]):
        assert is_open(port)
    for _ in range(100):  # the system takes its time to clear up
        if not is_open(port):
            return
        time.sleep(0.05)
    raise AssertionError("a worker has outlived its server")


FOREIGN = ({"Host": "evil.example"}, {"Host": f"{HOST}:PORT", "Origin": "http://evil.example"})


def status(port: int, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request(
            method, path, headers={name: text.replace("PORT", str(port)) for name, text in headers.items()}
        )
        return connection.getresponse().status
    finally:
        connection.close()


def answers_to_hidden_request(port: int, path: str) -> int:
    """The number of answers to a refused request whose body is a request that would be answered."""
    body = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall((head + body).encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer.count(b"HTTP/1.")


def test_tensorboard_answers_only_its_own_pages(tmp_path: Path) -> None:
    server = tensorboard(tmp_path, listen(None, 17400, "--port"))
    port = server.port
    with running([server]):
        assert [status(port, "GET", path, {}) for path in ("/", "/data/runs", "/index.js")] == [200] * 3
        assert [status(port, "GET", "/data/runs", headers) for headers in FOREIGN] == [403, 403]
        assert answers_to_hidden_request(port, "/data/runs") == 1
        assert status(port, "GET", "/data/runs", {"Host": "localhost", "Origin": "http://localhost"}) == 200


def test_dashboard_answers_only_its_own_pages(tmp_path: Path) -> None:
    address = str(tmp_path / "optuna.journal")
    server = dashboard(address, listen(None, 17500, "--port"))
    port = server.port
    Study(address, "kept", ["maximize"], 0)
    with running([server]):
        assert [status(port, "GET", path, {}) for path in ("/dashboard/", "/api/studies")] == [200, 200]
        assert [status(port, "GET", "/api/studies", headers) for headers in FOREIGN] == [403, 403]
        assert [status(port, "DELETE", "/api/studies/0", headers) for headers in FOREIGN] == [403, 403]
        assert answers_to_hidden_request(port, "/api/studies") == 1
        assert status(port, "GET", "/api/studies/0", {}) == 200
        own = {"Host": f"{HOST}:PORT", "Origin": f"http://{HOST}:PORT"}
        assert status(port, "DELETE", "/api/studies/0", own) == 204
        assert status(port, "GET", "/api/studies/0", {}) == 404


@pytest.mark.slow
def test_mlflow_and_what_it_starts_look_for_no_module_in_the_project(store: Path) -> None:
    for name in ("uvicorn", "mlflow", "fastapi"):
        (store / f"{name}.py").write_text(f"from pathlib import Path\nPath({str(store / 'canary')!r}).touch()\n")
    server = mlflow("sqlite:///mlflow.db", free_port(None, 5200, "--mlflow-port"))
    with running([server]), DIRECT.open(server.address + "/", timeout=10) as answer:
        assert answer.status == 200
    assert not (store / "canary").exists()
    assert not (store / "mlartifacts").exists()
