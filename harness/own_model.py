"""Making the model of a user's own function again, from the copy of the experiment's file in the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, ModelError
from harness.experiment_file import load


def own_function(beside: Path) -> Callable[[str], Callable[[int], Any]]:
    """A finder of the function that made a model: in the copy of the experiment's file that lies beside the checkpoint
    `beside`, as in `models/`, or in the run folder that holds it.
    """

    def find(named: str) -> Callable[[int], Any]:
        places = (beside.resolve().parent / "experiment.py", beside.resolve().parents[1] / "experiment.py")
        copy = next((place for place in places if place.is_file()), places[1])
        try:
            model = load(copy).model if copy.is_file() else None
        except HarnessError as error:
            raise ModelError(f"{beside} cannot be built again", f"{error.what}: {error.why}", f"mend {copy}") from error
        if not callable(model):
            raise ModelError(
                f"{beside} cannot be built again",
                f"its model is a function of an experiment file ({named}), and {copy} is not there, or has another",
                "keep the run folder together with its checkpoints",
            )
        return model

    return find
