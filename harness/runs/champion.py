"""The champion: the best model of the project, in `models/`, with its test result and its origin.

    models/champion.pt, champion.json    the present champion, with experiment.py if its model needs code from that file
    models/history/NNN/                  all champions: the same files and the small files of the run, which
                                         `harness reproduce champion` needs. Only the last few have their checkpoint.

A change writes the history first and `champion.json` last. So a complete champion exists even if the change is
interrupted.
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
HALF_WRITTEN = re.compile(  # the names of unfinished files of `write_whole`
    rf"\.({'|'.join(map(re.escape, {*OF_RUN, RECORD, CHECKPOINT}))}|fold[0-9]+\.npz)-[0-9a-f]{{8}}"
)
CHECKPOINTS_KEPT = 5  # number of champions whose checkpoint stays in the history
LOOK_SECONDS = 0.05  # between two checks while another process installs a champion

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
        """The folder in the history with the small files of its run, which can be opened as a run folder."""
        return champion_folder(self.number, self.folder)


def champion_folder(number: int, folder: Path = FOLDER) -> Path:
    """The folder of a champion in the history."""
    return folder / "history" / f"{number:03d}"


def present(folder: Path = FOLDER) -> Champion | None:
    """Returns the champion in `models/`, or None if there is none.

    `champion.json` decides which one it is. If an interrupted change has left another checkpoint beside it, the
    checkpoint is restored from the history. Raises ModelError if the history does not have it.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    while not _is_whole(champion := Champion(_read(path), folder)):
        with alone(folder, wait=False) as mine:
            if mine:
                return _mended(folder)
        time.sleep(LOOK_SECONDS)  # another process is installing a champion, which is fast
    return champion


def _is_whole(champion: Champion) -> bool:
    return _is(champion.checkpoint, champion.record.checkpoint.md5)


def _mended(folder: Path) -> Champion:
    """The champion, with its checkpoint restored from the history if an interrupted change has left another one."""
    champion = Champion(_read(folder / RECORD), folder)
    if not _is_whole(champion):
        if not _is(champion.run / CHECKPOINT, champion.record.checkpoint.md5):
            raise ModelError(
                f"{champion.checkpoint} is not champion {champion.number}",
                f"its content does not match {RECORD}, and the history does not have the checkpoint",
                "harness data pull models",
            )
        install(champion.number, folder)
    return champion


def required(folder: Path = FOLDER) -> Champion:
    """Returns the champion. Raises UsageError if there is none."""
    champion = present(folder)
    if champion is not None:
        return champion
    tracked = folder.with_name(folder.name + ".dvc").is_file()
    fix = "harness champion promote RUN" + (", or harness data pull models" if tracked else "")
    raise UsageError("there is no champion", f"{folder / RECORD} does not exist", fix)


def named_so(typed: str) -> Champion | None:
    """Returns the champion if "champion" was typed and no file has this name. Raises UsageError if there is none."""
    return required() if typed == "champion" and not Path(typed).exists() else None


def history(folder: Path = FOLDER) -> list[ChampionRecord]:
    """Returns the records of all champions, oldest first."""
    files = (folder / "history").glob(f"*/{RECORD}")
    return sorted((_read(path) for path in files if path.parent.name.isdecimal()), key=lambda record: record.number)


def run_id(folder: Path) -> str:
    """Returns the id of the run that the champion in `folder` came from. Raises ModelError for a damaged record."""
    return _read(folder / RECORD).run.id


def next_number(folder: Path = FOLDER) -> int:
    """Returns the number of the next champion."""
    names = [path.parent.name for path in (folder / "history").glob(f"*/{RECORD}")]
    return 1 + max((int(name) for name in names if name.isdecimal() and len(name) < 7), default=0)


def keep(record: ChampionRecord, files: Mapping[str, bytes], folder: Path = FOLDER) -> None:
    """Adds a champion to the history: first the files of its run, given as name -> content, and then its record."""
    where = _own_place(record.number, folder)
    for name, content in files.items():
        write_whole(where / name, content)
    _write_record(record, where)


def install(number: int, folder: Path = FOLDER) -> ChampionRecord:
    """Makes a champion of the history the present one. Returns its record.

    Raises UsageError if the history does not have its checkpoint.
    """
    where = _own_place(number, folder)
    record = _read(where / RECORD)
    if not _is(where / CHECKPOINT, record.checkpoint.md5):
        raise UsageError(
            f"the checkpoint of champion {number} is missing or damaged",
            f"the history keeps only {CHECKPOINTS_KEPT} checkpoints; the others are in earlier versions of models.dvc",
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
    """Removes all but CHECKPOINTS_KEPT checkpoints of the history, and unfinished files of killed processes.

    The checkpoints of champions that a rollback can reach are kept first. DVC would track the unfinished files, too.
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
        if is_inside(path.parent / "-", folder):  # harness does not own files behind a link
            path.unlink(missing_ok=True)


def rollback(*, folder: Path = FOLDER) -> Champion:
    """Makes the previous champion the champion again, and returns it. Raises UsageError if there is none."""
    with alone(folder):
        now = required(folder)
        replaced = now.record.replaced
        if replaced is None:
            raise UsageError(
                f"champion {now.number} is the first", "no champion was before it", "harness champion history"
            )
        left = dataclasses.replace(now.record, rolled_back=datetime.now().astimezone().isoformat(timespec="seconds"))
        with in_one_piece():
            record = install(replaced, folder)
            _write_record(left, _own_place(now.number, folder))
    return Champion(record, folder)


def note_version(record: ChampionRecord, version: str, *, folder: Path = FOLDER) -> None:
    """Records the version that a champion has in MLflow's registry."""
    record = dataclasses.replace(record, registry=RegistryRecord(version))
    with alone(folder):
        _write_record(record, _own_place(record.number, folder))
        now = present(folder)
        if now is not None and now.number == record.number:  # another champion may have been promoted meanwhile
            _write_record(record, folder)


@contextlib.contextmanager
def alone(folder: Path = FOLDER, wait: bool = True) -> Iterator[bool]:
    """Locks the champion in `folder`, so that no other process changes it before DVC has it. May be nested.

    Yields True with the lock. If another process has the lock, it prints a line and waits, or yields False without
    `wait`.
    """
    place, held = os.path.realpath(folder), _held.__dict__.setdefault("places", set())
    if place in held:
        yield True
        return
    lock = folder.absolute().parent / trust.FOLDER / "champion.lock"
    with storage_errors(lock.parent):
        trust.make_folder(lock)

    def tell(who: str) -> None:
        print_line(f"{who} is changing the champion: waiting for it")

    with lock_of(lock, wait, "a project folder on a disk that can lock files", tell) as mine:
        if mine:
            held.add(place)
        try:
            yield mine
        finally:
            held.discard(place)


def _own_place(number: int, folder: Path) -> Path:
    """The folder of a champion in the history, for writing. Raises ModelError if a link points outside the project."""
    where = champion_folder(number, folder)
    for path, home in ((folder, folder.absolute().parent), (where, folder)):
        if not is_inside(path / "-", home):
            raise ModelError(
                f"{path} is not used", f"it is a link that points outside {home}", f"rm {quote(str(path))}"
            )
    return where


def _is_own(path: Path, folder: Path) -> bool:
    """Whether the file exists. Raises ModelError for a link that points outside the folder and DVC's cache."""
    if path.is_symlink() and not is_inside(path, folder) and not is_inside(path, folder.absolute().parent / ".dvc"):
        raise ModelError(f"{path} is not used", "it is a link that points outside", f"rm {quote(str(path))}")
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
