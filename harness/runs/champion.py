"""The champion: the one model that counts, in `models/`, with what it is worth and where it came from.

    models/champion.pt, champion.json    the present one; experiment.py beside them where it needs a function of one
    models/history/NNN/                  each there was: the same files, of the last few with the checkpoint, and what
                                         of its run is small, by which `harness reproduce champion` works anywhere

The history is written first and `champion.json` last, so that whatever ends a change, one whole champion is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote

from harness.errors import ModelError, UsageError, storage_errors
from harness.runs import trust
from harness.runs.champion_record import ChampionRecord, RegistryRecord
from harness.runs.record_file import read_record, to_json
from harness.util.console import print_line
from harness.util.files import file_md5, write_whole
from harness.util.locks import lock_of
from harness.util.schema import SchemaError, is_inside
from harness.util.signals import in_one_piece

FOLDER = Path("models")
RUNS = Path("runs")
RECORD, CHECKPOINT, EXPERIMENT = "champion.json", "champion.pt", "experiment.py"
OF_RUN = ("run.json", "metrics.jsonl", "predictions.csv", EXPERIMENT)  # kept with a champion
HALF_WRITTEN = re.compile(  # as `write_whole` names what it has not finished
    rf"\.({'|'.join(map(re.escape, {*OF_RUN, RECORD, CHECKPOINT}))}|fold[0-9]+\.npz)-[0-9a-f]{{8}}"
)
CHECKPOINTS_KEPT = 5  # champions whose checkpoint stays in the history
LOOK_SECONDS = 0.05  # between two looks at a champion that is being installed

_held = threading.local()  # the folders in which this thread may change the champion


@dataclass(frozen=True)
class Champion:
    """One champion, as `champion.json` describes it."""

    record: ChampionRecord
    folder: Path = FOLDER

    @property
    def number(self) -> int:
        return self.record.number

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def run(self) -> Path:
        """What the history keeps of its run, as a run folder."""
        return champion_folder(self.number, self.folder)


def champion_folder(number: int, folder: Path = FOLDER) -> Path:
    """Where the history has a champion."""
    return folder / "history" / f"{number:03d}"


def present(folder: Path = FOLDER) -> Champion | None:
    """The champion in `models/`; None where there is none.

    `champion.json` says which it is: what a change that was cut off left beside it is put right from the history.
    Raises ModelError where that cannot be.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    while not _is_whole(champion := Champion(_read(path), folder)):
        with alone(folder, wait=False) as mine:
            if mine:
                return _mended(folder)
        time.sleep(LOOK_SECONDS)  # another process installs a champion, which takes no time
    return champion


def _is_whole(champion: Champion) -> bool:
    return _is(champion.checkpoint, champion.record.checkpoint.md5)


def _mended(folder: Path) -> Champion:
    """The champion, after what a change that was cut off has left is put right from the history."""
    champion = Champion(_read(folder / RECORD), folder)
    if not _is_whole(champion):
        if not _is(champion.run / CHECKPOINT, champion.record.checkpoint.md5):
            raise ModelError(
                f"{champion.checkpoint} is not champion {champion.number}",
                f"its content is not what {RECORD} says, and the history has it no more",
                "harness data pull models",
            )
        install(champion.number, folder)
    return champion


def required(folder: Path = FOLDER) -> Champion:
    """The champion. Raises UsageError where there is none."""
    champion = present(folder)
    if champion is not None:
        return champion
    tracked = folder.with_name(folder.name + ".dvc").is_file()
    fix = "harness champion promote RUN" + (", or harness data pull models" if tracked else "")
    raise UsageError("there is no champion", f"{folder / RECORD} is not there", fix)


def named_so(typed: str) -> Champion | None:
    """The champion, where that is what was typed and no file has that name. Raises UsageError where there is none."""
    return required() if typed == "champion" and not Path(typed).exists() else None


def history(folder: Path = FOLDER) -> list[ChampionRecord]:
    """Every champion there was, oldest first."""
    files = (folder / "history").glob(f"*/{RECORD}")
    return sorted((_read(path) for path in files if path.parent.name.isdecimal()), key=lambda record: record.number)


def run_id(folder: Path) -> str:
    """The id of the run that the champion in `folder` came from. Raises ModelError for a damaged record."""
    return _read(folder / RECORD).run.id


def next_number(folder: Path = FOLDER) -> int:
    """The number of the champion that comes next."""
    names = [path.parent.name for path in (folder / "history").glob(f"*/{RECORD}")]
    return 1 + max((int(name) for name in names if name.isdecimal() and len(name) < 7), default=0)


def keep(record: ChampionRecord, files: Mapping[str, bytes], folder: Path = FOLDER) -> None:
    """Adds a champion to the history: the files of its run, by name, and last its record."""
    where = _own_place(record.number, folder)
    for name, content in files.items():
        write_whole(where / name, content)
    _write_record(record, where)


def install(number: int, folder: Path = FOLDER) -> ChampionRecord:
    """Makes a champion of the history the present one, and returns its record. Raises UsageError where it is gone."""
    where = _own_place(number, folder)
    record = _read(where / RECORD)
    if not _is(where / CHECKPOINT, record.checkpoint.md5):
        raise UsageError(
            f"the checkpoint of champion {number} is not there any more, or is damaged",
            f"the history keeps {CHECKPOINTS_KEPT} of them; the others are in earlier versions of models.dvc",
            "git checkout COMMIT models.dvc, then harness data pull models",
        )
    for name in (CHECKPOINT, EXPERIMENT, RECORD):
        if _is_own(where / name, folder):
            write_whole(folder / name, (where / name).read_bytes())
        else:
            (folder / name).unlink(missing_ok=True)
    _prune(record, folder)
    return record


def _prune(record: ChampionRecord, folder: Path) -> None:
    """Removes all but CHECKPOINTS_KEPT checkpoints of the history: first of all those stay to which one can roll back.

    And what a process that was killed has left half written, which would else become part of the version.
    """
    numbers, line = [], {each.number: each.replaced for each in history(folder)}
    number: int | None = record.number
    while number is not None and number not in numbers:
        numbers.append(number)
        number = line.get(number)
    numbers += [number for number in sorted(line, reverse=True) if number not in numbers]
    old = [champion_folder(number, folder) / CHECKPOINT for number in numbers[CHECKPOINTS_KEPT:]]
    half = [path for path in folder.rglob(".*-*") if HALF_WRITTEN.fullmatch(path.name)]
    for path in (*old, *half):
        if is_inside(path.parent / "-", folder):  # what lies behind a link is not ours
            path.unlink(missing_ok=True)


def rollback(*, folder: Path = FOLDER) -> Champion:
    """Makes the champion that the present one replaced the champion again. Raises UsageError where there is none."""
    with alone(folder):
        now = required(folder)
        replaced = now.record.replaced
        if replaced is None:
            raise UsageError(
                f"champion {now.number} is the first", "there is none before it", "harness champion history"
            )
        left = dataclasses.replace(now.record, rolled_back=datetime.now().astimezone().isoformat(timespec="seconds"))
        with in_one_piece():
            record = install(replaced, folder)
            _write_record(left, _own_place(now.number, folder))
    return Champion(record, folder)


def note_version(record: ChampionRecord, version: str, *, folder: Path = FOLDER) -> None:
    """Writes down which version of MLflow's registry a champion is."""
    record = dataclasses.replace(record, registry=RegistryRecord(version))
    with alone(folder):
        _write_record(record, _own_place(record.number, folder))
        now = present(folder)
        if now is not None and now.number == record.number:  # else another one was promoted meanwhile
            _write_record(record, folder)


@contextlib.contextmanager
def alone(folder: Path = FOLDER, wait: bool = True) -> Iterator[bool]:
    """Within, no other process changes the champion in `folder`, and none finds it before DVC has it. May be nested.

    Yields False if another process does so; with `wait`, its end is waited for, and a line says so.
    """
    place, held = os.path.realpath(folder), _held.__dict__.setdefault("places", set())
    if place in held:
        yield True
        return
    lock = folder.absolute().parent / trust.FOLDER / "champion.lock"
    with storage_errors(lock.parent):
        trust.make_folder(lock)

    def tell(who: str) -> None:
        print_line(f"{who} changes the champion: waiting for it")

    with lock_of(lock, wait, "a project folder on a disk that can lock files", tell) as mine:
        if mine:
            held.add(place)
        try:
            yield mine
        finally:
            held.discard(place)


def _own_place(number: int, folder: Path) -> Path:
    """Where the history has a champion, to write there. Raises ModelError for a link that leads out of the project."""
    where = champion_folder(number, folder)
    for path, home in ((folder, folder.absolute().parent), (where, folder)):
        if not is_inside(path / "-", home):
            raise ModelError(f"{path} is not used", f"it is a link that leads out of {home}", f"rm {quote(str(path))}")
    return where


def _is_own(path: Path, folder: Path) -> bool:
    """Whether it is there. Raises ModelError for a link that leads neither into the folder nor into DVC's cache."""
    if path.is_symlink() and not is_inside(path, folder) and not is_inside(path, folder.absolute().parent / ".dvc"):
        raise ModelError(f"{path} is not used", "it is a link that leads elsewhere", f"rm {quote(str(path))}")
    return path.is_file()


def _is(path: Path, md5: str) -> bool:
    return path.is_file() and file_md5(path) == md5


def _write_record(record: ChampionRecord, where: Path) -> None:
    write_whole(where / RECORD, to_json(record))


def _read(path: Path) -> ChampionRecord:
    try:
        return read_record(ChampionRecord, path)
    except (OSError, SchemaError) as error:
        raise ModelError(f"{path} cannot be read", f"damaged: {error}", "harness data pull models") from error
