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

PAUSE_SECONDS = 10.0  # minimum time between two writes
SHARE = 0.02  # maximum fraction of the time for copying states that are not written
REST = 10.0  # minimum pause after a write, in multiples of its duration: a state may have many gigabytes


class FitCheckpoint(Stateless):
    """Saves the state of a fit to a file, so that an interrupted fit resumes with bit-identical results.

    It writes every ten seconds, at the end of an epoch or after a batch. If a write takes more than a second, it writes
    less often. If the fit ends by an error or a signal, it also writes the last complete epoch. While an attribute of a
    callback cannot be saved, it writes only complete epochs. `harness.engine.fit_file.read_fit` reads the file for
    `Trainer.fit(..., resume=...)`.

    Put it last in the list of callbacks: the state includes what the other callbacks do at the end of an epoch.

    Args:
        path: The file. The code that starts the fit must remove it once the result is stored.
        content: Returns values that are added to the file at each write.
        saved: Is called with the saved `epoch` and `step` after each write.

    Raises:
        StorageError: During the fit: the file cannot be written.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.FitCheckpoint("fit.pt")])
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
        self._written = self._copied = 0.0  # times of the last write and copy
        self._cost = 0.0  # seconds of the last copy
        self._seconds = 0.0  # of the last write
        self._unwritten: dict[str, Any] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._can_save = True
        self._was_read = False
        self._only_epochs = False  # whether an attribute is unsaved, which a callback may make again at each epoch

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
        if self._writer is None:  # the fit has not begun: an earlier callback failed
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
        """Returns a copy of the current state, or None, after one warning, if it cannot be saved."""
        if not self._can_save:
            return None
        assert self._start is not None
        began = time.monotonic()
        try:
            content = {**self._content(), "fit": fit_state(state, self._start)}
        except NotSavedError as error:
            self._can_save = False
            print_line(f"warning: this fit cannot resume after an interruption: it holds {error}, which is not saved")
            return None
        self._copied = time.monotonic()
        self._cost = self._copied - began
        return content

    def _write(self, content: dict[str, Any] | None) -> None:
        """Writes in a thread, after the previous write has ended. Raises StorageError if that write failed."""
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
            read_fit(self._path)  # fail now, not at the resume, if the file is unreadable
            self._was_read = True
        self._saved(*progress_of(content["fit"]))

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
