"""Each test starts a process without slow imports, and sends real signals to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")

START = """
import os, signal, sys, time
from harness.errors import Terminated
from harness.util import signals

def say(number):
    os.write(1, f"said {number}\\n".encode())

signals.MOST_SECONDS = 0.4
signals.handle(say)

def begin():
    print("ready", flush=True)
"""


class Child:
    """A process that runs `code`, which calls `begin()` when it is ready for signals."""

    def __init__(self, code: str, ignored: tuple[int, ...] = ()) -> None:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
        self.process = subprocess.Popen([sys.executable, "-c", START + code], stdout=subprocess.PIPE, text=True)
        for number, handler in before.items():
            signal.signal(number, handler)
        self.read("ready")

    def read(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def send(self, *numbers: int, apart: float = 0.0) -> None:
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(apart)

    def end(self, seconds: float = 10.0) -> tuple[int, list[str]]:
        """Its exit code, and what it printed. Fails if it takes longer than `seconds`."""
        assert self.process.stdout is not None
        try:
            code = self.process.wait(seconds)
        finally:
            self.process.kill()
        with self.process.stdout as out:
            return code, out.read().split("\n")[:-1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_handle_raises_once_and_ends_with_the_code_of_the_signal(number: int, code: int) -> None:
    child = Child("""
try:
    begin()
    time.sleep(30)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
    sys.exit(130)
except Terminated as stop:
    print("Terminated")
    sys.exit(stop.exit_code)
""")
    child.send(number)
    assert child.end() == (code, ["KeyboardInterrupt" if number == signal.SIGINT else "Terminated"])


# GNU timeout sends its signal to the command, then to the group that the command is in; `uv run` sends Ctrl-C again
# after 200 ms (astral-sh/uv#13756, marimo-team/marimo#4596). Such a second signal must not prevent the clean-up
def test_handle_counts_two_signals_within_half_a_second_as_one() -> None:
    child = Child("""
try:
    begin()
    time.sleep(30)
except Terminated as stop:
    time.sleep(0.3)
    print("tidied up")
    sys.exit(stop.exit_code)
""")
    child.send(signal.SIGTERM, signal.SIGTERM, apart=0.1)
    assert child.end() == (143, ["tidied up"])


def test_handle_ends_the_process_at_the_second_signal() -> None:
    child = Child("""
signals.MOST_SECONDS = 30.0
with signals.at_once(kill=lambda: print("killed", flush=True), mark=lambda: print("marked", flush=True)):
    try:
        begin()
        time.sleep(30)
    finally:
        print("tidying up", flush=True)
        time.sleep(30)
""")
    child.send(signal.SIGINT)
    child.read("tidying up")
    time.sleep(0.6)
    child.send(signal.SIGINT)
    assert child.end(5) == (130, ["killed", "said 2"])


# spd checked its SIGTERM flag only between steps, and none of six preempted jobs was saved (goodfire-ai/spd#741)
@pytest.mark.parametrize(
    "work",
    [
        pytest.param("__import__('hashlib').pbkdf2_hmac('sha256', b'a', b'b', 10**9)", id="one long step of C"),
        pytest.param("time.sleep(30)", id="tidying up takes long"),
    ],
)
def test_handle_ends_the_process_in_time_if_the_main_thread_is_blocked(work: str) -> None:
    child = Child(f"""
with signals.at_once(kill=lambda: print("killed", flush=True), mark=lambda: print("marked", flush=True)):
    try:
        begin()
        {work}
    finally:
        time.sleep(30)
""")
    began = time.monotonic()
    child.send(signal.SIGTERM)
    assert child.end(5) == (143, ["killed", "marked", "said 15"])
    assert 0.3 < time.monotonic() - began < 3


# Python ignores an exception that a handler raises in __del__; a callback may catch all exceptions
@pytest.mark.parametrize(
    "work",
    [
        pytest.param("del part", id="in __del__"),
        pytest.param("try:\n    part.__del__()\nexcept BaseException:\n    pass", id="by except"),
    ],
)
def test_handle_ends_the_process_in_time_if_the_exception_is_caught(work: str) -> None:
    child = Child(f"""
class Part:
    def __del__(self):
        begin()
        time.sleep(0.5)
part = Part()
{work}
time.sleep(30)
""")
    child.send(signal.SIGINT)
    assert child.end(5) == (130, ["said 2"])


def test_handle_prints_nothing_if_an_action_hangs() -> None:
    child = Child("""
with signals.at_once(mark=lambda: time.sleep(30)):
    try:
        begin()
        time.sleep(30)
    finally:
        time.sleep(30)
""")
    child.send(signal.SIGTERM)
    assert child.end(5) == (143, [])


# gem/oq-engine#4027, fish-shell/fish-shell#4007: a custom handler disables nohup. facebookresearch/ParlAI#1808: a shell
# without job control ignores SIGINT for `command &`
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_handle_keeps_ignored_signals_ignored(number: int) -> None:
    child = Child(
        "with signals.interrupt_noted(lambda: print('noted')), signals.in_one_piece():\n"
        "    begin()\n    time.sleep(0.3)\nprint('end')",
        ignored=(number,),
    )
    child.send(number, apart=0.1)
    assert child.end() == (0, ["end"])


# youngwanLEE/CenterMask#58, Calamari-OCR/calamari#77: loader processes outlive Ctrl-C, or each prints a traceback
def test_at_once_ends_processes_of_multiprocessing(tmp_path: Path) -> None:
    child = Child(f"""
import multiprocessing
def work():
    signals.ignore()
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    time.sleep(30)
loader = multiprocessing.get_context("fork").Process(target=work, daemon=True)
loader.start()
while not os.path.exists({str(tmp_path / "pid")!r}) or not open({str(tmp_path / "pid")!r}).read():
    time.sleep(0.01)
try:
    begin()
    time.sleep(30)
finally:
    time.sleep(30)
""")
    child.send(signal.SIGINT)
    assert child.end(5) == (130, ["said 2"])
    wait(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())), 5)


def test_handle_does_not_apply_to_forked_processes() -> None:
    child = Child("""
begin()
out, into = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(into, b"x")
    time.sleep(30)
os.read(out, 1)
os.kill(pid, signal.SIGTERM)
print(os.waitpid(pid, 0)[1])
signals.require_not_stopped()
""")
    assert child.end() == (0, [str(int(signal.SIGTERM))])


def test_interrupt_noted_raises_at_the_second_ctrl_c() -> None:
    child = Child("""
with signals.interrupt_noted(lambda: print("noted", flush=True)) as is_noted:
    try:
        begin()
        while not is_noted():
            time.sleep(0.01)
        time.sleep(1.5)  # longer than from an ending signal to the end
        print("goes on", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        print("raised")
        sys.exit(130)
""")
    child.send(signal.SIGINT)
    child.read("noted")
    child.read("goes on")
    child.send(signal.SIGINT)
    assert child.end() == (130, ["raised"])


def test_in_one_piece_raises_at_the_end_of_the_block() -> None:
    child = Child("""
signals.MOST_SECONDS = 30.0
try:
    with signals.in_one_piece():
        begin()
        time.sleep(0.3)
        print("all of it is done", flush=True)
    print("not here")
except Terminated as stop:
    sys.exit(stop.exit_code)
""")
    child.send(signal.SIGTERM)
    assert child.end() == (143, ["all of it is done"])


# Lightning-AI/pytorch-lightning#11924: Ctrl-C ended only the fit, and the script continued as after a complete one
def test_require_not_stopped_raises_a_caught_exception_again() -> None:
    child = Child("""
try:
    begin()
    time.sleep(30)
except KeyboardInterrupt:
    pass
try:
    signals.require_not_stopped()
except KeyboardInterrupt:
    print("again")
""")
    child.send(signal.SIGINT)
    assert child.end() == (0, ["again"])


def test_is_first_to_tell_is_true_only_once() -> None:
    child = Child("begin()\nprint(signals.is_first_to_tell(), signals.is_first_to_tell())")
    assert child.end() == (0, ["True False"])
