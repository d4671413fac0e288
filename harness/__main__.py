"""`python -m harness` is `harness`. A signal is answered from here on: to import the command line takes a moment."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from harness.errors import HarnessError, Terminated
from harness.util import signals


def main() -> NoReturn:
    """Runs the command line of this process, and ends it with its exit code."""
    signals.handle()
    try:
        from harness.cli.main import main as run
    except (KeyboardInterrupt, Terminated) as stop:
        number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
        what = f"stopped by {signal.Signals(number).name}"
        print(HarnessError(what, "it had not begun", "the same command again"), file=sys.stderr)
        sys.exit(128 + number)
    run()


if __name__ == "__main__":
    main()
