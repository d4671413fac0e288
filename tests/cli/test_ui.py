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
def test_ui_starts_both_prints_addresses_and_stops_at_ctrl_c(tracked: Tracked) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracked.uri, "SSH_CONNECTION": "a 1 b 22"}
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
            first_lines = [next(lines) for _ in range(6)]  # before the servers are ready; a page waits for them
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
    assert f"/?runFilter={tracked.run.path.name}#timeseries\n" in first_lines[0]
    assert re.search(r"/#/experiments/\d+/runs\?workflowType=machine_learning\n", first_lines[2])
    assert "  ssh -N -L " in first_lines[5]
    assert "stopped TensorBoard and MLflow" in rest
    assert "Traceback" not in rest
    for port in addresses:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_ui_names_a_running_server_and_starts_no_other(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@box.example/mlflow/")
    outcome = call("ui", "--only", "mlflow")
    assert outcome.code == 0
    assert re.search(r"https://box.example\n +\(as in MLFLOW_TRACKING_URI\)", outcome.out)
    assert "secret" not in outcome.out + outcome.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://box:5000/")
    assert "http://box:5000/#/experiments" in call("ui", "--only", "mlflow").out


def test_ui_warns_of_a_host_that_others_reach(call: Call, tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tracked.project)
    monkeypatch.setattr("harness.cli.ui_command._serve", lambda *_: None)
    outcome = call("ui", "--host", "0.0.0.0", "--only", "tensorboard")
    assert outcome.code == 0, outcome.err
    assert f"http://{socket.gethostname()}:" in outcome.out
    assert "warning: --host 0.0.0.0 opens these pages to everyone" in outcome.err
    assert "warning" not in call("ui", "--only", "tensorboard").err


def test_ui_refuses_a_host_that_is_not_of_this_machine(
    call: Call, tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tracked.project)
    outcome = call("ui", "--host", "192.0.2.1", "--only", "tensorboard")
    assert (outcome.code, outcome.error_lines[0]) == (2, "error: --host 192.0.2.1 cannot be used")
