"""Stores and reads a study's settings. The process that makes the study sets them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import optuna

from harness.errors import UsageError
from harness.util.console import print_line

LOOK_SECONDS = 0.05  # between two checks for the settings of a study that was just made
MOST_SECONDS = 10.0  # to wait for the settings; after this time the process that made the study has died
KEY = "harness"  # name of the study's attribute


def given_settings(
    storage: optuna.storages.BaseStorage, study: int, name: str, mine: Mapping[str, Any], is_founder: bool
) -> Any:
    """Returns the settings and the id of a study. Stores `mine` if this process has made the study.

    A storage makes only one study with a given name, but an attribute is replaced by the last process that sets it. So
    only the process that made the study sets it, and the others wait.

    Args:
        storage: The storage that holds the study.
        study: Its number there.
        name: Its name, for messages.
        mine: The settings of this process.
        is_founder: Whether this process has made the study.

    Returns:
        A dictionary: the settings, and `id`.

    Raises:
        UsageError: Another program has made the study.
    """
    deadline, is_printed = time.monotonic() + (0 if is_founder else MOST_SECONDS), False
    while True:
        trials = storage.get_all_trials(study, deepcopy=False)  # read first, because the settings precede any trial
        attributes = storage.get_study_user_attrs(study)
        if KEY in attributes:
            return attributes[KEY]
        if trials or attributes:
            raise UsageError(
                f"the study {name!r} was made by another program",
                f"it has {len(trials)} trials, but no settings of harness",
                "--study with another name",
            )
        if time.monotonic() >= deadline:
            settings = {**mine, "id": secrets.token_hex(4)}
            storage.set_study_user_attr(study, KEY, settings)
            return settings
        if not is_printed:
            print_line(f"another process has just made the study {name}: waiting for its settings")
            is_printed = True
        time.sleep(LOOK_SECONDS)
