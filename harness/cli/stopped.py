"""The three lines of a command that a signal has stopped: what is kept, and what to type."""

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
from harness.util.escape import terminal

NOTHING = "nothing was changed"
WHAT_IS_KEPT = {  # by command, where a part of its work may be done
    "cache clear": "what was removed is computed again when it is needed",
    "champion promote": "the champion is the one that it was",
    "champion rollback": "the champion is the one that it was",
    "data demo": "what was there before is still there",
    "data pull": "what was fetched is kept, and is not fetched again",
    "data push": "what was sent is kept there, and is not sent again",
    "data ready": "what was fetched is kept, and is not fetched again",
    "data track": "what is tracked is the version that it was",
    "predict": "each image that was named, copied or drawn is whole, and the same command copies none twice",
    "refit": "the run is as it was, without this model on all images",
    "reproduce": "nothing was trained yet",
    "run": "nothing was trained yet",
    "search": "what was found is kept, and the same command goes on",
    "sync": "what was sent is kept there, and the same command sends the rest",
    "test": "the test has no result",
    "ui": "its servers are stopped",
}
WHAT = {"SIGINT": "interrupted by Ctrl-C", "SIGTERM": "ended by SIGTERM", "SIGHUP": "ended by SIGHUP"}


def stop_text(number: int, typed: Sequence[str]) -> str:
    """The message of a command line, as it was typed, that the signal `number` has stopped; none of a search's worker.

    A workflow that knows more than the command has said so by `signals.advise`.
    """
    if "--worker" in typed:
        return ""
    words = [word for word in typed if not word.startswith("-")]
    kept = next((WHAT_IS_KEPT[name] for name in (" ".join(words[:2]), "".join(words[:1])) if name in WHAT_IS_KEPT), "")
    why, fix = signals.advice() or (kept or NOTHING, again(typed))
    return str(HarnessError(WHAT[signal.Signals(number).name], why, fix))


def again(typed: Sequence[str]) -> str:
    """The command as it was typed, less passwords."""
    return shlex.join(["harness", *typed_without_secrets(typed)])


def say_stopped(number: int, typed: Sequence[str]) -> None:
    """Prints the message on stderr, unless it is printed already."""
    text = stop_text(number, typed) if signals.is_first_to_tell() else ""
    with contextlib.suppress(OSError):  # the terminal is gone
        if text:
            echo(*text.split("\n"), err=True)


def say_from_outside(number: int, typed: Sequence[str]) -> None:
    """The same from a thread, while the main thread may hold the lock of stderr."""
    text = stop_text(number, typed) if signals.is_first_to_tell() else ""
    if text:
        os.write(2, "".join(f"{terminal(line)}\n" for line in text.split("\n")).encode("utf-8", "replace"))
