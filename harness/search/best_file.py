"""`best.py`: the experiment's file with the best trial's values, which `harness run` reproduces."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from harness.experiment import Experiment

GUARD = re.compile(r"^if __name__\s*==", re.MULTILINE)


def best_file(source: str, written: Experiment, best: Experiment, about: str, threads: int | None = None) -> str:
    """The text of a file that defines the experiment `best`: `source`, which defines `written`, and what differs.

    With `threads`, a run of it uses so many: on a CPU another number rounds sums in another order, and small
    differences grow in training.
    """
    names = [item.name for item in dataclasses.fields(best)]
    differs = {name: getattr(best, name) for name in names if getattr(best, name) != getattr(written, name)}
    lines = [f"    {name}={_typed(value)},\n" for name, value in {"name": best.name, **differs}.items()]
    found = GUARD.search(source)
    body, end = (source[: found.start()], "\n" + source[found.start() :]) if found else (source, "")
    exact = f"import torch  # noqa: E402\n\ntorch.set_num_threads({threads})  # as it was trained\n" if threads else ""
    return f"# {about}\n{body.rstrip()}\n\n# {about}\n{exact}experiment = experiment.replace(\n{''.join(lines)})\n{end}"


def _typed(value: Any) -> str:
    """A value in Python: a function by its name in this file, or from where it can be imported."""
    if not callable(value):
        return repr(value)
    if value.__module__.startswith("harness_experiment_"):
        return str(value.__qualname__)
    return f'__import__("importlib").import_module({value.__module__!r}).{value.__qualname__}'
