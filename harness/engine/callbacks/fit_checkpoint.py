from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.engine.callback import Stateless
from harness.engine.fit_file import read_fit, write_fit
from harness.engine.fit_start import FitStart
from harness.engine.fit_state import fit_state, progress_of
from harness.engine.plain_values import NotSavedError
from harness.engine.state import State
from harness.errors import StorageError
from harness.util.console import print_line

PAUSE_SECONDS = 10.0  # between two writes at least
SHARE = 0.02  # of the time that copying states may take where they are not written
REST = 10.0  # between two writes at least, in times of what the last one took: a state may have many gigabytes


class FitCheckpoint(Stateless):
    """Keeps the state of a fit in a file, so that a fit that is cut off can go on to the same bits.

    The state is written at the end of an epoch, and within long epochs after a batch, every ten seconds; less often if
    that takes more than a second. If the fit ends with an error or by a signal, the last whole epoch is written, too.
    While something of a callback cannot be saved, only whole epochs are written. `read_fit` reads the file for
    `Trainer.fit(..., resume=...)`.

    It comes last in the list of callbacks: what others do at the end of an epoch is part of the state.

    Args:
        path: The file. Who made the fit removes it once the result is safe.
        content: Returns what is added to the file, whenever it is written.
        saved: Is called with the state's `epoch` and `step` once they are in the file.
    """

    def __init__(
        self,
        path: Path | str,
        content: Callable[[], dict[str, Any]] = dict,
        saved: Callable[[int, int], None] = lambda _epoch, _step: None,
    ) -> None:
        self._path = Path(path)
        self._content = content
        self._saved = saved
        self._start: FitStart | None = None
        self._written = self._copied = 0.0  # moments
        self._cost = 0.0  # seconds that copying the state took
        self._seconds = 0.0  # that the last write took
        self._unwritten: dict[str, Any] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._can_save = True
        self._was_read = False
        self._only_epochs = False  # whether something is unsaved, which a callback may make again at each epoch

    def on_fit_start(self, state: State) -> None:
        self._start = FitStart(state)
        self._written = self._copied = time.monotonic()
        self._cost, self._unwritten, self._can_save = 0.0, None, True
        self._was_read = self._only_epochs = False
        self._seconds = 0.0
        self._writer, self._writing = ThreadPoolExecutor(1, "harness-fit-checkpoint"), None

    def on_batch_end(self, state: State) -> None:
        if time.monotonic() - self._written >= self._pause() and not self._only_epochs:
            content = self._copy(state)
            self._only_epochs = content is not None and bool(content["fit"]["unsaved"])
            if not self._only_epochs:
                self._write(content)

    def on_epoch_end(self, state: State) -> None:
        now = time.monotonic()
        if now - self._written >= self._pause():
            self._write(self._copy(state))
        elif now - self._copied >= self._cost / SHARE:
            self._unwritten = self._copy(state)

    def on_fit_end(self, state: State) -> None:
        if self._writer is None:  # the fit has not begun: a callback before this one has failed
            return
        try:
            if state.error is None or isinstance(state.error, StorageError):
                return
            self._write(self._unwritten)
            self._wait()
        finally:
            self._writer.shutdown()
            self._writer = self._writing = self._unwritten = None

    def _pause(self) -> float:
        return max(PAUSE_SECONDS, REST * self._seconds)

    def _copy(self, state: State) -> dict[str, Any] | None:
        """The state now, copied; None if it cannot be saved, which is said once."""
        if not self._can_save:
            return None
        assert self._start is not None
        began = time.monotonic()
        try:
            content = {**self._content(), "fit": fit_state(state, self._start)}
        except NotSavedError as error:
            self._can_save = False
            print_line(f"warning: this fit cannot go on if it is cut off: it holds {error}, which cannot be saved")
            return None
        self._copied = time.monotonic()
        self._cost = self._copied - began
        return content

    def _write(self, content: dict[str, Any] | None) -> None:
        """Writes in a thread, after what is being written. Raises StorageError if that was not possible."""
        assert self._writer is not None
        self._wait()
        self._written, self._unwritten = time.monotonic(), None
        if content is not None:
            self._writing = self._writer.submit(self._write_file, content)

    def _write_file(self, content: dict[str, Any]) -> None:
        began = time.monotonic()
        write_fit(self._path, content)
        self._seconds = time.monotonic() - began
        if not self._was_read:
            read_fit(self._path)  # what cannot be read is to be known now
            self._was_read = True
        self._saved(*progress_of(content["fit"]))

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
