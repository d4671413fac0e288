"""optuna-dashboard over the storage in $HARNESS_STORAGE: `python -m harness.tuning.dashboard HOST PORT`.

Started so, and not by its own command: an address with a password belongs in no list of processes, and only the
dashboard's own pages get an answer.
"""

from __future__ import annotations

import logging
import os
import sys

import optuna_dashboard
from werkzeug.serving import make_server

from harness.trackers.local_only import local_only
from harness.tuning.storage import open_storage


def main(host: str, port: int) -> None:
    """Serves until a signal ends the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it writes a line for each request
    app = optuna_dashboard.wsgi(open_storage(os.environ["HARNESS_STORAGE"]))
    make_server(host, port, local_only(app), threaded=True).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
