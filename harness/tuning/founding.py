"""The settings of a study: those of the process that made it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import optuna

from harness.errors import UsageError
from harness.util.console import print_line

LOOK_SECONDS = 0.05  # between two looks for the settings of a study that was made a moment ago
MOST_SECONDS = 10.0  # until its process gives them; if it did not, it is gone
KEY = "harness"  # of the study's attribute


def given_settings(
    storage: optuna.storages.BaseStorage, study: int, name: str, mine: Mapping[str, Any], is_founder: bool
) -> Any:
    """The settings that a study was begun with, and its id: `mine`, stored now, if this process begins it.

    A storage makes a study of one name once, but of two processes that set an attribute, the last one wins. So the
    process that made the study sets it, and others wait for that.

    Args:
        storage: Holds the study.
        study: Its number there.
        name: Its name, for people.
        mine: The settings of this process.
        is_founder: Whether this process has made the study.

    Raises:
        UsageError: Another program has made the study.
    """
    deadline, told = time.monotonic() + (0 if is_founder else MOST_SECONDS), False
    while True:
        trials = storage.get_all_trials(study, deepcopy=False)  # first: the settings come before any trial
        attributes = storage.get_study_user_attrs(study)
        if KEY in attributes:
            return attributes[KEY]
        if trials or attributes:
            raise UsageError(
                f"the study {name!r} was made by another program",
                f"it has {len(trials)} trials, and nothing says what they trained",
                "--study with another name",
            )
        if time.monotonic() >= deadline:
            settings = {**mine, "id": secrets.token_hex(4)}
            storage.set_study_user_attr(study, KEY, settings)
            return settings
        if not told:
            print_line(f"another process has just made the study {name}: waiting for its settings")
            told = True
        time.sleep(LOOK_SECONDS)
