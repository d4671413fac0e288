"""TensorBoard behind `local_only`: `python -m harness.trackers.tensorboard.server`, with TensorBoard's own options."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tensorboard import main_lib, program

from harness.trackers.local_only import local_only


class LocalServer(program.WerkzeugServer):  # type: ignore[misc]
    """TensorBoard's server, which answers only its own pages."""

    def __init__(self, wsgi_app: Any, flags: argparse.Namespace) -> None:
        super().__init__(local_only(wsgi_app), flags)


def main(arguments: list[str]) -> int:
    """Serves until a signal ends the process. Returns the exit code; `arguments` begin with the program's name."""
    main_lib.global_init()  # as tensorboard.main does: warnings only
    board = program.TensorBoard(server_class=program.with_port_scanning(LocalServer))
    board.configure(arguments)
    return int(board.main())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
