from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.util import processes
from harness.util.processes import has_ended, kill_tree, this_process
from tests.conftest import wait

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def record_of(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": pid, "since": processes._since(pid)}


def test_has_ended_follows_a_process(child: subprocess.Popen[bytes]) -> None:
    record = record_of(child.pid)
    assert has_ended(this_process()) is False
    assert has_ended(record) is False
    assert has_ended({**record, "since": ""}) is False
    child.communicate(b"\n")
    assert has_ended(record) is True
    assert has_ended({**record, "since": ""}) is True


@pytest.mark.skipif(sys.platform == "win32", reason="it has no zombies")
def test_has_ended_is_true_for_a_zombie(child: subprocess.Popen[bytes]) -> None:
    record = record_of(child.pid)
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    wait(lambda: has_ended(record))  # its parent has not waited for it, so its process id still exists
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE


@linux
def test_has_ended_reads_records_of_0_1_0() -> None:
    """They contain the boot id, the namespace, and the ticks of the 22nd field of /proc/PID/stat."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    space = Path("/proc/self/ns/pid").readlink().name[5:-1]
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    record = this_process()
    assert record["since"] == f"{boot}-{space}:{began}"
    assert (
        has_ended({**record, "since": f"{boot}-{space}:{began - 1}"}) is True
    )  # another process has this process id now
    assert has_ended({**record, "since": f"another:{began}"}) is None  # a container with the same name


@linux
def test_has_ended_is_false_after_the_clock_was_corrected(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then psutil's create_time() returns another time (giampaolo/psutil#1724, #2526)."""
    record = record_of(child.pid)
    before = psutil.Process(child.pid).create_time()
    real = psutil._pslinux.boot_time
    for name in ("boot_time", "BOOT_TIME"):
        if hasattr(psutil._pslinux, name):
            monkeypatch.setattr(psutil._pslinux, name, lambda: real() + 3600)
    assert psutil.Process(child.pid).create_time() == pytest.approx(before + 3600, abs=2)
    assert has_ended(record) is False


def test_has_ended_compares_seconds_on_other_systems(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(processes, "TOLERANCE", 60.0)
    record = record_of(child.pid)
    name, _, began = record["since"].partition(":")
    assert float(began) == pytest.approx(time.time(), abs=60)
    assert has_ended(record) is False
    assert has_ended({**record, "since": f"{name}:{float(began) + 30}"}) is False  # a correction of the clock
    assert has_ended({**record, "since": f"{name}:{float(began) - 3600}"}) is True


def test_has_ended_is_false_for_a_process_without_permission(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(child.pid)

    def denied(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "status", denied)
    assert has_ended(record) is False


@linux
def test_has_ended_is_false_for_a_process_that_proc_hides(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hidepid=2, psutil reports processes of other users as ended. The kernel still refuses signals to them."""
    record = record_of(child.pid)

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "PROCFS_PATH", "/nowhere")
    monkeypatch.setattr(os, "kill", refused)
    assert has_ended(record) is False


@linux
def test_has_ended_accepts_any_process_name(tmp_path: Path) -> None:
    """Linux cuts a name after 15 bytes, which may be inside a multi-byte letter."""
    program = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff) R 1"))
    program.symlink_to("/bin/cat")
    with subprocess.Popen([os.fsencode(program)], stdin=subprocess.PIPE) as process:
        wait(lambda: b"\xff" in Path(f"/proc/{process.pid}/comm").read_bytes())
        assert has_ended(record_of(process.pid)) is False


@pytest.mark.parametrize("pid", [None, "x", -1, 0, 2**70, [1]])
def test_has_ended_does_not_raise_for_an_invalid_record(pid: object) -> None:
    assert has_ended({"host": socket.gethostname(), "pid": pid, "since": ""}) in (None, True)
    assert has_ended({"host": "elsewhere", "pid": pid}) is None
    assert has_ended({**this_process(), "since": f"{processes._namespace()}:odd"}) is None


def test_kill_tree_ends_the_children_of_a_process(tmp_path: Path) -> None:
    worker = "import os, pathlib, time; pathlib.Path(r'{}', str(os.getpid())).touch(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker.format(tmp_path)!r}])"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait(lambda: list(tmp_path.iterdir()))
        grandchild = record_of(int(next(tmp_path.iterdir()).name))
        assert has_ended(grandchild) is False
        kill_tree(process.pid)
        wait(lambda: has_ended(grandchild))
    kill_tree(process.pid)  # no process is left, and this is not an error
