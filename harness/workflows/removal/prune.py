"""Which runs `harness runs prune` removes: those that meet all given conditions.

Runs are ranked where a comparison is fair: among those of one experiment that were judged on the same images. Only
finished runs are ranked, and no fast dev run. A run whose accuracy is too good, because of leaked images or of an epoch
that was chosen by the images that judge it, ranks below every run without such a caveat. Of equal runs the newest is
better.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.runs.record_parts import Status
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder
from harness.training.repeats import fold_and_repeat
from harness.workflows.removal.stored import RUN, UNREADABLE, StoredRun

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # seconds
AGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([mhdw])")


@dataclass(frozen=True)
class Conditions:
    """What a run must meet to be pruned; None or empty for a condition that is not given.

    Attributes:
        keep_best: Not among this number of best runs of its experiment and images. What is not ranked does not meet it.
        older_than: Began more than this number of seconds ago.
        statuses: Has one of these statuses.
    """

    keep_best: int | None = None
    older_than: float | None = None
    statuses: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.keep_best is None and self.older_than is None and not self.statuses:
            raise UsageError(
                "nothing says which runs to remove",
                "without a condition it would be all of them",
                "harness runs prune --keep-best 3, or --older-than 30d, or --status failed",
            )

    def __str__(self) -> str:
        parts = []
        if self.keep_best is not None:
            best = "the best" if self.keep_best == 1 else f"among the {self.keep_best} best"
            parts.append(f"is not {best} of its experiment and images" if self.keep_best else "has finished")
        if self.older_than is not None:
            parts.append(f"began more than {_age_text(self.older_than)} ago")
        if self.statuses:
            parts.append(f"has the status {' or '.join(self.statuses)}")
        return ", and ".join(parts)


def seconds_of(age: str) -> float:
    """Seconds of an age such as "90m", "12h", "30d" or "2w". Raises UsageError."""
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise UsageError(
            f"{age!r} is no age", "it must be a number and a unit: m, h, d or w", "--older-than 30d, or 12h, or 2w"
        )
    return float(match[1]) * UNITS[match[2]]


def _age_text(seconds: float) -> str:
    """Such as "30 days"."""
    for unit, count in (("day", 86400), ("hour", 3600)):
        if seconds >= count:
            return f"{seconds / count:g} {unit}{'' if seconds == count else 's'}"
    return f"{seconds / 60:g} minutes"


def to_prune(every: Sequence[StoredRun], conditions: Conditions, now: float) -> list[StoredRun]:
    """Returns those of `every` that meet all conditions at the moment `now`, in seconds since 1970."""
    best = {item for group in ranked(every) for item in _first(group, conditions.keep_best or 0)}
    worse = {item for item in every if _has_finished(item)} - best
    return [
        item
        for item in every
        if item.status != UNREADABLE
        and (conditions.keep_best is None or item in worse)
        and (conditions.older_than is None or now - item.began > conditions.older_than)
        and (not conditions.statuses or item.status in conditions.statuses)
    ]


def ranked(every: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Returns the runs that can be ranked, the best first, in a list for each experiment and set of images."""
    groups: dict[Hashable, list[StoredRun]] = {}
    for item in every:
        if _has_finished(item) and item.accuracy is not None and not _record(item).fast_dev_run:
            groups.setdefault(_judged_on(_record(item)), []).append(item)
    return [sorted(group, key=_rank) for group in groups.values()]


def _first(group: Sequence[StoredRun], number: int) -> list[StoredRun]:
    """The first runs of a ranked list: a link to a run, or a copy of it, is the same run and takes no other's place."""
    ids = list(dict.fromkeys(_id(item) for item in group))[:number]
    return [item for item in group if _id(item) in ids]


def within_luck(going: Sequence[StoredRun], every: Sequence[StoredRun]) -> list[StoredRun]:
    """Returns those of `going` whose accuracy lies in the 95 % interval of the best run on the same images."""
    found = []
    for group in ranked(every):
        best = _record(group[0])
        if best.interval is not None and not _is_doubtful(best):
            low = best.interval[0]
            found += [
                item
                for item in group
                if item in going and _id(item) != _id(group[0])
                if not _rank(item)[0] and (item.accuracy or 0.0) >= low
            ]
    return found


def _rank(item: StoredRun) -> tuple[bool, float, float]:
    """By which runs are sorted: without a caveat first, then the most accurate, then the newest."""
    return _is_doubtful(_record(item)), -(item.accuracy or 0.0), -item.began


def _has_finished(item: StoredRun) -> bool:
    return item.kind == RUN and item.status == Status.FINISHED


def _record(item: StoredRun) -> RunRecord:
    assert isinstance(item.folder, RunFolder)
    return item.folder.record


def _id(item: StoredRun) -> str:
    assert isinstance(item.folder, RunFolder)
    return item.folder.id


def _is_doubtful(record: RunRecord) -> bool:
    return bool(record.caveat)


def _judged_on(record: RunRecord) -> Hashable:
    """What two runs have in common that were judged on the same images, and are of one experiment."""
    values = record.experiment
    key = (record.name, record.data.digest)
    folds = values.get("folds") or 0
    trained = {fold_and_repeat(entry.fold, folds)[0] for entry in record.folds} if folds else set()
    if folds and len(trained) == folds:
        return key  # each image was judged once
    # Of a hold-out, or of some folds, which images are judged depends on the split
    split = (folds, values.get("seed"), str(values.get("valid_data")), tuple(sorted(trained)), record.n)
    return (*key, *split)
