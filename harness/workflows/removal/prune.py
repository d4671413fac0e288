"""Chooses the runs that `harness runs prune` removes: those that meet all given conditions.

Runs are ranked only with runs of the same experiment that were evaluated on the same images. Only finished runs are
ranked, without fast dev runs. If the accuracy of a run is too good, because of leaked images or because its epoch was
chosen on validation images, it ranks below all runs without this problem. Of equal runs, the newest is better.
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
    """The conditions that a run must meet to be pruned; None or empty for a condition that is not set.

    Attributes:
        keep_best: It is not among this number of best runs of its experiment and images, and it has finished.
        older_than: It started more than this number of seconds ago.
        statuses: It has one of these statuses.
    """

    keep_best: int | None = None
    older_than: float | None = None
    statuses: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.keep_best is None and self.older_than is None and not self.statuses:
            raise UsageError(
                "there is no condition for the runs to remove",
                "without a condition, all runs would be removed",
                "harness runs prune --keep-best 3, or --older-than 30d, or --status failed",
            )

    def __str__(self) -> str:
        parts = []
        if self.keep_best is not None:
            best = "the best" if self.keep_best == 1 else f"among the {self.keep_best} best"
            parts.append(f"is not {best} of its experiment and images" if self.keep_best else "has finished")
        if self.older_than is not None:
            parts.append(f"started more than {_age_text(self.older_than)} ago")
        if self.statuses:
            parts.append(f"has the status {' or '.join(self.statuses)}")
        return ", and ".join(parts)


def seconds_of(age: str) -> float:
    """Seconds of an age such as "90m", "12h", "30d" or "2w". Raises UsageError."""
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise UsageError(
            f"{age!r} is not an age", "it must be a number and a unit: m, h, d or w", "--older-than 30d, or 12h, or 2w"
        )
    return float(match[1]) * UNITS[match[2]]


def _age_text(seconds: float) -> str:
    """Such as "30 days"."""
    for unit, count in (("day", 86400), ("hour", 3600)):
        if seconds >= count:
            return f"{seconds / count:g} {unit}{'' if seconds == count else 's'}"
    return f"{seconds / 60:g} minutes"


def to_prune(stored: Sequence[StoredRun], conditions: Conditions, now: float) -> list[StoredRun]:
    """Returns those of `stored` that meet all conditions at the time `now`, in seconds since 1970."""
    best = {item for group in ranked(stored) for item in _first(group, conditions.keep_best or 0)}
    worse = {item for item in stored if _has_finished(item)} - best
    return [
        item
        for item in stored
        if item.status != UNREADABLE
        and (conditions.keep_best is None or item in worse)
        and (conditions.older_than is None or now - item.began > conditions.older_than)
        and (not conditions.statuses or item.status in conditions.statuses)
    ]


def ranked(stored: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Returns the ranked runs, the best first, in one list per experiment and set of images."""
    groups: dict[Hashable, list[StoredRun]] = {}
    for item in stored:
        if _has_finished(item) and item.accuracy is not None and not _record(item).fast_dev_run:
            groups.setdefault(_evaluated_on(_record(item)), []).append(item)
    return [sorted(group, key=_rank) for group in groups.values()]


def _first(group: Sequence[StoredRun], number: int) -> list[StoredRun]:
    """The first runs of a ranked list. Links and copies of a run count as the same run."""
    ids = list(dict.fromkeys(_id(item) for item in group))[:number]
    return [item for item in group if _id(item) in ids]


def within_luck(going: Sequence[StoredRun], stored: Sequence[StoredRun]) -> list[StoredRun]:
    """Returns those of `going` whose accuracy is in the 95 % interval of the best run on the same images."""
    lucky = []
    for group in ranked(stored):
        best = _record(group[0])
        if best.interval is not None and not _is_doubtful(best):
            low = best.interval[0]
            lucky += [
                item
                for item in group
                if item in going and _id(item) != _id(group[0])
                if not _rank(item)[0] and (item.accuracy or 0.0) >= low
            ]
    return lucky


def _rank(item: StoredRun) -> tuple[bool, float, float]:
    """The sort key of runs: first without caveat, then the most accurate, then the newest."""
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


def _evaluated_on(record: RunRecord) -> Hashable:
    """A key that is equal for runs of one experiment that were evaluated on the same images."""
    values = record.experiment
    key = (record.name, record.data.digest)
    folds = values.get("folds") or 0
    trained = {fold_and_repeat(entry.fold, folds)[0] for entry in record.folds} if folds else set()
    if folds and len(trained) == folds:
        return key  # each image was predicted once
    # with a hold-out, or only some folds, the validation images depend on the split
    split = (folds, values.get("seed"), str(values.get("valid_data")), tuple(sorted(trained)), record.n)
    return (*key, *split)
