"""`runs/<experiment>/study-<name>/`: what a study leaves on this machine; a run folder for each of its trials."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError, storing
from harness.runs.folder import Folder
from harness.runs.forms import Study
from harness.runs.run_folder import UNFINISHED, RunFolder, require_own_place
from harness.util.checked import form, is_inside, read_json, require_inside
from harness.util.files import lock_of, write_whole
from harness.util.processes import has_ended, this_process

PREFIX = "study-"


class StudyFolder(Folder):
    """One study's folder: `study.json`, `trial-000/` and so on. Writing raises StorageError."""

    FILES = ("study.json", "trials.csv", "best.py", "experiment.py")

    @classmethod
    def at(cls, runs: Path, experiment: str, name: str, record: dict[str, Any]) -> StudyFolder:
        """The folder of that study, new or not."""
        require_own_place(runs / experiment / f"{PREFIX}{name}", runs)
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
            record = read_json(form(Study), require_inside(path / "study.json", path))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} is no folder of a study", str(error), "harness list shows the studies") from error
        return cls(path, record)

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted; or "died" where it says running, but its process here is gone."""
        said: str = self.record["status"]
        return "died" if said == UNFINISHED and has_ended(self.record) else said

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
        """Where the trial at that place lies. Raises UsageError where that is a link that leads elsewhere."""
        return self.inside(f"trial-{place:03d}")

    def trials(self) -> list[RunFolder]:
        """Those on this machine, by place."""
        found = []
        for path in sorted(self.path.glob("trial-*/run.json")):
            with contextlib.suppress(UsageError):
                if is_inside(path.parent, self.path):
                    found.append(RunFolder.open(path.parent))
        return found

    def remove_weights(self, places: Iterable[int]) -> None:
        """Removes the checkpoints of those trials, and nothing else that somebody has put beside them."""
        for place in places:
            folder = self.trial(place) / "checkpoints"
            with contextlib.suppress(OSError):
                for path in folder.glob("fold*.pt") if is_inside(folder, self.path) else ():
                    path.unlink()
                folder.rmdir()

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Within, nobody else sends this study to MLflow; False where somebody does. It ends with the process."""
        with lock_of(self.path / ".sending") as alone:
            yield alone


def studies(runs: Path) -> list[StudyFolder]:
    """Each study under `runs`, the one that began last first."""
    found = []
    for path in runs.glob(f"*/{PREFIX}*/study.json"):
        with contextlib.suppress(UsageError):
            found.append(StudyFolder.open(path.parent))
    return sorted(found, key=lambda folder: datetime.fromisoformat(folder.record["started"]).timestamp(), reverse=True)
