from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome, Tracked, wait

Call = Callable[..., Outcome]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
def test_both_are_started_their_addresses_are_printed_and_ctrl_c_stops_both(tracked: Tracked) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracked.uri}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "ui"],
        cwd=tracked.project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    too_late = threading.Timer(180, process.kill)
    too_late.start()
    with process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            first_lines = [next(lines) for _ in range(2)]  # before the servers are ready; a page waits for them
            addresses = re.findall(r"http://127\.0\.0\.1:(\d+)", "".join(first_lines))
            assert len(addresses) == 2, first_lines
            pages = [urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) for port in addresses]
            content = [page.read().decode() for page in pages]
            assert "TensorBoard" in content[0]
            assert "MLflow" in content[1]
            wait(lambda: "ready" in next(lines))
        finally:
            os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 0
    too_late.cancel()
    assert "stopped TensorBoard and MLflow" in rest
    assert "Traceback" not in rest
    for port in addresses:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_a_server_of_ones_own_is_named_and_not_started(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@box.example/mlflow/")
    outcome = call("ui", "--only", "mlflow")
    assert outcome.code == 0
    assert "https://box.example  (as in MLFLOW_TRACKING_URI)" in outcome.out
    assert "secret" not in outcome.out + outcome.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://box:5000/")
    assert "http://box:5000/#/experiments" in call("ui", "--only", "mlflow").out
