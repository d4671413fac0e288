"""Runs TensorBoard behind `local_only`: `python -m harness.trackers.tensorboard.server`, with TensorBoard's options.

With `--listener` as the first option, its standard input is a socket that is already listening.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import Any

from tensorboard import main_lib, program

from harness.trackers.local_only import local_only


class LocalServer(program.WerkzeugServer):  # type: ignore[misc]
    """TensorBoard's server, which answers only its own pages."""

    def __init__(self, wsgi_app: Any, flags: argparse.Namespace) -> None:
        super().__init__(local_only(wsgi_app), flags)


class ListeningServer(LocalServer):
    """The same server on the socket that is its standard input. With port 0, TensorBoard does not search for a port."""

    def server_bind(self) -> None:
        """Uses that socket instead of a new one."""
        self.socket.close()
        self.socket: socket.socket = socket.socket(fileno=os.dup(0))
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]


def main(arguments: list[str]) -> int:
    """Serves until a signal ends the process. Returns the exit code. `arguments` begin with the program's name."""
    main_lib.global_init()  # as tensorboard.main does: warnings only
    kind = program.with_port_scanning(LocalServer)
    if arguments[1:2] == ["--listener"]:
        kind, arguments = ListeningServer, [arguments[0], *arguments[2:], "--port", "0"]
    board = program.TensorBoard(server_class=kind)
    board.configure(arguments)
    return int(board.main())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
