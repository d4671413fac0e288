"""optuna-dashboard over the storage in $HARNESS_STORAGE: `python -m harness.search.dashboard HOST PORT`.

Started so, and not by its own command, since an address with a password belongs in no list of processes.
"""

from __future__ import annotations

import os
import sys

import optuna_dashboard

from harness.search.storage import open_storage

if __name__ == "__main__":
    optuna_dashboard.run_server(open_storage(os.environ["HARNESS_STORAGE"]), sys.argv[1], int(sys.argv[2]))
