"""Short ids of runs: how an id ends, which every command takes for the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

SHORTEST = 4  # characters: the random digits of an id


def short_ids(ids: Mapping[str, str]) -> dict[str, str]:
    """The shortest end of each run's id that no other id has; the run's path if another run has the same id.

    None begins with "-", as an option does.

    Args:
        ids: Path of a run folder -> its id.
    """
    short: dict[str, str] = {}
    for length in range(SHORTEST, max(map(len, ids.values()), default=0) + 1):
        counts = Counter(own[-length:] for own in ids.values())
        for path, own in ids.items():
            if counts[own[-length:]] == 1 and not own[-length:].startswith("-"):
                short.setdefault(path, own[-length:])
    return {path: short.get(path, path) for path in ids}
