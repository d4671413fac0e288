"""Signals that end this process: the first one with all that has to be tidied up, the second one at once.

The handler raises KeyboardInterrupt or `Terminated` in the main thread. That is not enough: Python calls a handler only
between two of its instructions, not within a long step of C code, and what the handler raises may be swallowed or
wait for something. So a thread watches, too. It ends the process `MOST_SECONDS` after the first signal.
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
SOON_SECONDS = 1.5  # the same, after a Ctrl-C that was only noted
SAME_SECONDS = 0.5  # `timeout`, `uv run` and a closing terminal send a signal twice: these count as one
LAST_SECONDS = 0.7  # for what is done before the process is ended from outside its main thread

Action = Callable[[], object]
Handler = Callable[[int, FrameType | None], object]


class _Presses:
    """Tells signals apart. Those that arrive within `SAME_SECONDS` of another one are the same."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def is_another(self, now: float) -> bool:
        """Whether a signal that arrives now is another one."""
        if now - self._last < SAME_SECONDS:
            return False
        self._last = now
        return True


class _Process:
    """What this process knows of the signals that it got. There is one."""

    def __init__(self) -> None:
        self.pid = 0  # 0 where `handle` was not called
        self.handled, self.seen = _Presses(), _Presses()  # by the handler, and by the thread that watches
        self.number = 0  # of the signal that ends this process
        self.raised = False  # whether the handler has raised already
        self.deadline: float | None = None
        self.noting = False  # whether the next Ctrl-C is only noted
        self.is_soon = False  # whether one was
        self.ends = threading.Lock()  # held by the thread that ends the process
        self.kills: list[Action] = []
        self.marks: list[Action] = []
        self.advice: tuple[str, str] | None = None
        self.told = False  # whether the message is printed
        self.say: Callable[[int], object] = lambda _: None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        if os.getpid() != self.pid:  # a copy of this process that has not got its own handlers yet
            os._exit(128 + number)
        if not self.handled.is_another(time.monotonic()):
            return
        if self.raised:
            _end_at_once(self.number, marked=False)
        self.number, self.raised = self.number or number, True
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def on_arrival(self, number: int, now: float) -> None:
        """The same signal, in the thread that watches: it comes here even if the main thread cannot take it."""
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
    """From now on, the first signal raises in the main thread, and the second one ends this process at once.

    A signal that is ignored already stays ignored: `nohup` ignores SIGHUP, and a shell SIGINT for `command &`.

    Args:
        say: Prints the message for a signal's number, if the process has to be ended before it could print it.
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
    """From now on, no signal ends this process: it is about to end, or somebody else ends it."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def begin() -> None:
    """A command begins: nobody has advised anything yet, and no message is printed."""
    _process.advice, _process.told = None, False


def is_first_to_tell() -> bool:
    """Whether the caller is the one that prints the message: it is printed once."""
    first, _process.told = not _process.told, True
    return first


def advise(why: str, fix: str) -> None:
    """Sets what the message says if a signal ends this process from now on: what is kept, and what to type."""
    _process.advice = why, fix


def advice() -> tuple[str, str] | None:
    """What the last `advise` has set; None if nobody has."""
    return _process.advice


def stopped_by() -> int:
    """The number of the signal that ends this process, whatever became of what the handler raised; 0 if none came."""
    return _process.number


def require_not_stopped() -> None:
    """Raises again what a signal has raised if it was swallowed, as by the wait for a tracker at a run's end."""
    if _process.number == signal.SIGINT:
        raise KeyboardInterrupt
    if _process.number:
        raise Terminated(_process.number)


@contextlib.contextmanager
def at_once(kill: Action | None = None, mark: Action | None = None) -> Iterator[None]:
    """Within, what has to be done if the process is ended from outside its main thread.

    Args:
        kill: Ends a process that would stay.
        mark: Writes down that this process was interrupted. It is left out after a second signal.
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
    """Within, the first Ctrl-C calls `tell` and raises nothing; the next one is as ever.

    Yields the function that says whether Ctrl-C was pressed.
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
    """Within, no signal interrupts: what the first one raises is raised at the end. For what takes no time."""
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
    """In a copy of this process: signals are as at its start, and the thread that watches is not there."""
    if _process.pid == 0:
        return
    _process.pid = 0
    signal.set_wakeup_fd(-1)
    for number in ENDING:
        if signal.getsignal(number) == _process.on_signal:
            signal.signal(number, signal.SIG_DFL)


def _end_at_once(number: int, marked: bool) -> NoReturn:
    """Ends this process, from any thread, with the exit code of the signal; takes no longer than `LAST_SECONDS`."""

    def finish() -> None:
        loaders = sys.modules.get("multiprocessing")
        kills = [*_process.kills, *(child.kill for child in loaders.active_children())] if loaders else _process.kills
        for action in (*kills, *(_process.marks if marked else ())):
            with contextlib.suppress(Exception):
                action()
        _process.say(number)

    if not _process.ends.acquire(blocking=False):  # another thread does so
        time.sleep(2 * LAST_SECONDS)
    last = threading.Thread(target=finish, daemon=True)  # a disk that hangs must not keep the process
    last.start()
    last.join(LAST_SECONDS)
    os._exit(128 + number)
