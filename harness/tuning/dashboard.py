"""Runs optuna-dashboard on the storage in $HARNESS_STORAGE: `python -m harness.tuning.dashboard HOST PORT`.

With `--listener` instead of both, its standard input is a socket that is already listening.

The dashboard's own command is not used for two reasons: it would show a password in the list of processes, and it would
answer requests from other sites' pages.
"""

from __future__ import annotations

import logging
import os
import sys

import optuna_dashboard
from werkzeug.serving import make_server

from harness.trackers.local_only import local_only
from harness.tuning.storage import open_storage


def main(host: str, port: int, listener: int | None = None) -> None:
    """Serves until a signal ends the process: on a port, or on the socket with that file descriptor."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # otherwise it logs each request
    app = optuna_dashboard.wsgi(open_storage(os.environ["HARNESS_STORAGE"]))
    make_server(host, port, local_only(app), threaded=True, fd=listener).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "--listener":
        main("127.0.0.1", 0, listener=sys.stdin.fileno())
    else:
        main(sys.argv[1], int(sys.argv[2]))
