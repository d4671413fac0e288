"""Handles the signals that end this process: the first signal after cleaning up, the second one immediately.

The handler raises KeyboardInterrupt or `Terminated` in the main thread. This is not enough: Python calls a handler only
between two of its instructions and not during a long call of C code, and other code may catch the exception or delay
it. So a thread watches the signals, too. It ends the process `MOST_SECONDS` after the first signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from harness.errors import Terminated

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
ENDING = tuple(int(getattr(signal, name)) for name in NAMES if hasattr(signal, name))
MOST_SECONDS = 4.0  # from the first signal to the end of the process
SOON_SECONDS = 1.5  # the same, if an earlier Ctrl-C was only noted
SAME_SECONDS = 0.5  # `timeout`, `uv run` and a closing terminal send a signal twice, which counts as one
LAST_SECONDS = 0.7  # for the last actions, when another thread ends the process

Action = Callable[[], object]
Handler = Callable[[int, FrameType | None], object]


class _Presses:
    """Counts signals. Signals that arrive within `SAME_SECONDS` of each other count as one."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def is_another(self, now: float) -> bool:
        """Whether a signal that arrives now counts as a new one."""
        if now - self._last < SAME_SECONDS:
            return False
        self._last = now
        return True


class _Process:
    """The state of signal handling in this process. There is one instance."""

    def __init__(self) -> None:
        self.pid = 0  # 0 if `handle` was not called
        self.handled, self.seen = _Presses(), _Presses()  # by the handler, and by the thread that watches
        self.number = 0  # of the signal that ends this process
        self.raised = False  # whether the handler has raised already
        self.deadline: float | None = None
        self.noting = False  # whether the next Ctrl-C is only noted
        self.is_soon = False  # whether a Ctrl-C was noted
        self.ends = threading.Lock()  # held by the thread that ends the process
        self.kills: list[Action] = []
        self.marks: list[Action] = []
        self.advice: tuple[str, str] | None = None
        self.has_printed = False  # whether the message was printed
        self.say: Callable[[int], object] = lambda _: None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        if os.getpid() != self.pid:  # a forked process that has not set its handlers yet
            os._exit(128 + number)
        if not self.handled.is_another(time.monotonic()):
            return
        if self.raised:
            _end_at_once(self.number, marked=False)
        self.number, self.raised = self.number or number, True
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def on_arrival(self, number: int, now: float) -> None:
        """Handles the same signal in the watching thread, where it arrives even if the main thread is blocked."""
        if number not in ENDING or not self.seen.is_another(now):
            return
        if self.noting and number == signal.SIGINT:
            self.noting, self.is_soon = False, True
        elif self.deadline is not None:
            _end_at_once(self.number or number, marked=False)
        else:
            seconds = SOON_SECONDS if self.is_soon and number == signal.SIGINT else MOST_SECONDS
            self.number, self.deadline = self.number or number, now + seconds

    def watch(self, pipe: int) -> None:
        while True:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            if not select.select([pipe], [], [], left)[0]:
                _end_at_once(self.number, marked=True)
            for number in os.read(pipe, 64):
                self.on_arrival(number, time.monotonic())


_process = _Process()


def handle(say: Callable[[int], object] | None = None) -> None:
    """Installs the handlers: the first signal raises in the main thread, and the second one ends this process.

    A signal that is already ignored stays ignored: `nohup` ignores SIGHUP, and a shell ignores SIGINT for `command &`.

    Args:
        say: Prints the message for a signal's number, if the process has to end before the command prints it.
    """
    if say is not None:
        _process.say = say
    if _process.pid == os.getpid():
        return
    _process.pid = os.getpid()
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _process.on_signal)
    if os.name == "posix":
        os.register_at_fork(after_in_child=_forget)
        pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)
        threading.Thread(target=_process.watch, args=(pipe,), daemon=True).start()


def ignore() -> None:
    """Ignores all signals from now on: this process is about to end, or its parent ends it."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def begin() -> None:
    """Resets the advice and the message at the start of a command."""
    _process.advice, _process.has_printed = None, False


def is_first_to_tell() -> bool:
    """Whether the caller should print the message. True only once, so that it is printed once."""
    first, _process.has_printed = not _process.has_printed, True
    return first


def advise(why: str, fix: str) -> None:
    """Sets the message for a signal that ends this process from now on: what is saved, and what to type."""
    _process.advice = why, fix


def advice() -> tuple[str, str] | None:
    """The message that `advise` has set; None if there is none."""
    return _process.advice


def stopped_by() -> int:
    """The number of the signal that ends this process, even if its exception was caught; 0 if there was none."""
    return _process.number


def require_not_stopped() -> None:
    """Raises the exception of a signal again, in case other code caught it, such as a tracker at the end of a run."""
    if _process.number == signal.SIGINT:
        raise KeyboardInterrupt
    if _process.number:
        raise Terminated(_process.number)


@contextlib.contextmanager
def at_once(kill: Action | None = None, mark: Action | None = None) -> Iterator[None]:
    """Registers actions for the case that another thread ends the process.

    Args:
        kill: Ends a child process that would continue.
        mark: Records that this process was interrupted. It is not called after a second signal.
    """
    added = [(actions, do) for actions, do in ((_process.kills, kill), (_process.marks, mark)) if do is not None]
    for actions, do in added:
        actions.append(do)
    try:
        yield
    finally:
        for actions, do in added:
            actions.remove(do)


@contextlib.contextmanager
def interrupt_noted(tell: Action) -> Iterator[Callable[[], bool]]:
    """Makes the first Ctrl-C call `tell` instead of raising. The next one raises as usual.

    Yields a function that returns whether Ctrl-C was pressed.
    """
    noted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        if _process.handled.is_another(time.monotonic()):
            noted.set()
            signal.signal(signal.SIGINT, before)
            tell()

    signal.signal(signal.SIGINT, note)
    _process.noting = True
    try:
        yield noted.is_set
    finally:
        _process.noting = False
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def in_one_piece() -> Iterator[None]:
    """Delays signals to the end of the block, where the first one raises. Only for short blocks."""
    held: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
        before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in held[:1]:
            before[number](number, None)


def _forget() -> None:
    """Resets signal handling in a forked process, which has no watching thread."""
    if _process.pid == 0:
        return
    _process.pid = 0
    signal.set_wakeup_fd(-1)
    for number in ENDING:
        if signal.getsignal(number) == _process.on_signal:
            signal.signal(number, signal.SIG_DFL)


def _end_at_once(number: int, marked: bool) -> NoReturn:
    """Ends this process, from any thread, with the exit code of the signal. Takes at most `LAST_SECONDS`."""

    def finish() -> None:
        loaders = sys.modules.get("multiprocessing")
        kills = [*_process.kills, *(child.kill for child in loaders.active_children())] if loaders else _process.kills
        for action in (*kills, *(_process.marks if marked else ())):
            with contextlib.suppress(Exception):
                action()
        _process.say(number)

    if not _process.ends.acquire(blocking=False):  # another thread is doing it
        time.sleep(2 * LAST_SECONDS)
    last = threading.Thread(target=finish, daemon=True)  # a disk that hangs must not block the end
    last.start()
    last.join(LAST_SECONDS)
    os._exit(128 + number)
