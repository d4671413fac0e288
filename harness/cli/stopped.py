"""The three lines that are printed when a signal stops a command: what is kept, and what to type."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Sequence

from harness.cli.output import echo
from harness.errors import HarnessError
from harness.util import signals
from harness.util.addresses import typed_without_secrets
from harness.util.console_log import add_output
from harness.util.escape import terminal

NOTHING = "nothing was changed"
WHAT_IS_KEPT = {  # by command, for commands that may have done a part of their work
    "cache clear": "removed entries are computed again when they are needed",
    "champion promote": "the champion has not changed",
    "champion rollback": "the champion has not changed",
    "data demo": "the files from before are still there",
    "data pull": "fetched files are kept, and are not fetched again",
    "data push": "sent files are kept in the remote, and are not sent again",
    "data ready": "fetched files are kept, and are not fetched again",
    "data track": "the tracked version has not changed",
    "predict": "every file written so far is complete, and the same command copies no image twice",
    "refit": "the run has not changed: it has no model trained on all images from this command",
    "reproduce": "nothing was trained yet",
    "run": "nothing was trained yet",
    "search": "the finished trials are saved, and the same command continues the study",
    "sync": "sent results are kept in the trackers, and the same command sends the rest",
    "test": "the test has no result",
    "ui": "its servers are stopped",
}
WHAT = {"SIGINT": "interrupted by Ctrl-C", "SIGTERM": "ended by SIGTERM", "SIGHUP": "ended by SIGHUP"}


def stop_text(number: int, typed: Sequence[str]) -> str:
    """The message for the command line `typed` that the signal `number` has stopped. Empty for a worker of a search.

    A workflow that knows more than the command sets the message with `signals.advise`.
    """
    if "--worker" in typed:
        return ""
    words = [word for word in typed if not word.startswith("-")]
    kept = next((WHAT_IS_KEPT[name] for name in (" ".join(words[:2]), "".join(words[:1])) if name in WHAT_IS_KEPT), "")
    why, fix = signals.advice() or (kept or NOTHING, again(typed))
    return str(HarnessError(WHAT[signal.Signals(number).name], why, fix))


def again(typed: Sequence[str]) -> str:
    """The command as typed, without passwords."""
    return shlex.join(["harness", *typed_without_secrets(typed)])


def say_stopped(number: int, typed: Sequence[str]) -> None:
    """Prints the message on stderr, unless it was printed already."""
    text = stop_text(number, typed) if signals.is_first_to_tell() else ""
    with contextlib.suppress(OSError):  # the terminal may be closed
        if text:
            echo(*text.split("\n"), err=True)


def say_from_outside(number: int, typed: Sequence[str]) -> None:
    """Prints the message from another thread. It writes to the file descriptor: the main thread may lock stderr."""
    text = stop_text(number, typed) if signals.is_first_to_tell() else ""
    if text:
        printed = "".join(f"{terminal(line)}\n" for line in text.split("\n"))
        os.write(2, printed.encode("utf-8", "replace"))
        add_output(printed)
