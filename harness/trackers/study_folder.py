"""`runs/<experiment>/study-<name>/`: what a study leaves on this machine; a run folder for each of its trials."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError, storing
from harness.files import locked, write_whole
from harness.processes import has_ended, this_process
from harness.trackers.run_folder import UNFINISHED, RunFolder

PREFIX = "study-"


class StudyFolder:
    """One study's folder: `study.json`, `trial-000/` and so on. Writing raises StorageError."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @classmethod
    def at(cls, runs: Path, experiment: str, name: str, record: dict[str, Any]) -> StudyFolder:
        """The folder of that study, new or not."""
        return cls(runs / experiment / f"{PREFIX}{name}", {"experiment_name": experiment, "name": name, **record})

    def begin(self) -> None:
        """The study begins, or goes on, in this process. Raises UsageError where another study's files lie there."""
        with storing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        started = datetime.now().astimezone().isoformat(timespec="milliseconds")
        if (self.path / "study.json").exists():
            before = StudyFolder.open(self.path).record
            if before.get("id") != self.record["id"]:
                raise UsageError(
                    f"{self.path} holds another study of this name",
                    f"one that is kept in {before.get('storage')}, and this one in {self.record['storage']}",
                    f"--study with another name, or rm -r {self.path} to give up what it holds",
                )
            started = before["started"]
        self.update(**this_process(), started=started, status=UNFINISHED, error=None)

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """One that is there. Raises UsageError where it is none."""
        try:
            record = json.loads((path / "study.json").read_text(encoding="utf-8"))
            datetime.fromisoformat(record["started"])
            record["name"], record["experiment_name"], record["status"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{path} is no folder of a study", f"{type(error).__name__}: {error}", "harness list shows the studies"
            ) from error
        return cls(path, record)

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted; or "died" where it says running, but its process here is gone."""
        said: str = self.record["status"]
        return "died" if said == UNFINISHED and has_ended(self.record) else said

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    def update(self, **changes: Any) -> None:
        """Changes the record, and writes `study.json` in one step."""
        self.record = self.record | changes
        write_whole(self.path / "study.json", (json.dumps(self.record, indent=2, default=str) + "\n").encode())

    def write(self, name: str, content: bytes) -> None:
        """A file of it, in one step."""
        write_whole(self.path / name, content)

    def reload(self) -> None:
        """Reads `study.json` again, which another process may have changed."""
        self.record = StudyFolder.open(self.path).record

    def trial(self, place: int) -> Path:
        """Where the trial at that place lies."""
        return self.path / f"trial-{place:03d}"

    def trials(self) -> list[RunFolder]:
        """Those on this machine, by place."""
        found = []
        for path in sorted(self.path.glob("trial-*/run.json")):
            with contextlib.suppress(UsageError):
                found.append(RunFolder.open(path.parent))
        return found

    def remove_weights(self, places: Iterable[int]) -> None:
        """Removes the checkpoints of those trials."""
        for place in places:
            shutil.rmtree(self.trial(place) / "checkpoints", ignore_errors=True)

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Within, nobody else sends this study to MLflow; False where somebody does. It ends with the process."""
        with locked(self.path / ".sending") as alone:
            yield alone


def studies(runs: Path) -> list[StudyFolder]:
    """Each study under `runs`, the one that began last first."""
    found = []
    for path in runs.glob(f"*/{PREFIX}*/study.json"):
        with contextlib.suppress(UsageError):
            found.append(StudyFolder.open(path.parent))
    return sorted(found, key=lambda folder: datetime.fromisoformat(folder.record["started"]).timestamp(), reverse=True)
