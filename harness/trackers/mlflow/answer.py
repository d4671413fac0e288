"""Checks that a database server answers, before MLflow connects to it.

MLflow tries to connect ten times within 100 seconds, each time for as long as the driver waits, and prints nothing.
"""

from __future__ import annotations

import threading

ANSWER_SECONDS = 5.0


def require_answer(uri: str, seconds: float = ANSWER_SECONDS) -> None:
    """Connects once to the database at `uri`. SQLAlchemy finds the driver.

    Raises:
        TimeoutError: The database did not answer within `seconds`.
        Exception: Any error of SQLAlchemy or the driver, for example: no driver, no such host, no permission.
    """
    errors: list[Exception] = []

    def connect() -> None:
        try:
            from sqlalchemy import create_engine
            from sqlalchemy.pool import NullPool

            create_engine(uri, poolclass=NullPool).connect().close()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=connect, daemon=True)  # not every driver has a timeout
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"timed out after {seconds:.0f} s")
    if errors:
        raise errors[0]
