"""`runs/<experiment>/study-<name>/`: the files of a study on this machine, with a run folder for each trial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from harness.errors import UsageError, storage_errors
from harness.runs.folder import Folder
from harness.runs.place import require_inside_runs
from harness.runs.record_file import read_record
from harness.runs.record_parts import Status
from harness.runs.records import StudyRecord
from harness.runs.run_folder import RunFolder
from harness.util.files import write_whole
from harness.util.processes import this_process
from harness.util.schema import SchemaError, is_inside, require_inside

PREFIX = "study-"
Stamp = tuple[int, ...]  # changes if a file is written or replaced


class StudyFolder(Folder[StudyRecord]):
    """The folder of a study: `study.json`, `trial-000/` and so on. Writing raises StorageError."""

    FILE = "study.json"
    FILES = ("study.json", "trials.csv", "best.py", "experiment.py", "report.html")

    def __init__(self, path: Path, record: StudyRecord) -> None:
        super().__init__(path, record)
        self._trials: dict[Path, tuple[Stamp, RunFolder]] = {}  # from the last call of `trials`

    @classmethod
    def at(cls, runs: Path, record: StudyRecord) -> StudyFolder:
        """Returns the folder of a study, which need not exist."""
        path = runs / record.experiment_name / f"{PREFIX}{record.name}"
        require_inside_runs(path, runs)
        return cls(path, record)

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """Opens the folder of a study. Raises UsageError if it is not a study folder, or is damaged."""
        try:
            record = read_record(StudyRecord, require_inside(path / cls.FILE, path))
        except (OSError, SchemaError) as error:
            raise UsageError(f"{path} is not a study folder", str(error), "harness list") from error
        return cls(path, record)

    def begin(self) -> None:
        """Starts or resumes the study in this process. Raises UsageError if the folder belongs to another study."""
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        started = self.record.started
        if (self.path / self.FILE).exists():
            before = StudyFolder.open(self.path).record
            if before.id != self.record.id:
                raise UsageError(
                    f"{self.path} belongs to another study of this name",
                    f"that study is stored in {before.storage}, and this one in {self.record.storage}",
                    f"--study with another name, or rm -r {self.path} to delete the other study",
                )
            started = before.started
        self.update(**this_process(), started=started, status=Status.RUNNING, error=None)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file in the folder, atomically."""
        write_whole(self.path / name, content)

    def reload(self) -> None:
        """Reads `study.json` again, because another process may have changed it."""
        self.record = StudyFolder.open(self.path).record

    def trial(self, index: int) -> Path:
        """The folder of a trial. Raises UsageError if it is a link that points outside."""
        return self.inside(f"trial-{index:03d}")

    def trials(self) -> list[RunFolder]:
        """The trials on this machine, by index. Reads only records that have changed since the last call."""
        before, self._trials = self._trials, {}
        for path in sorted(self.path.glob("trial-*/run.json")):
            with contextlib.suppress(UsageError, OSError):
                if is_inside(path.parent, self.path):
                    stamp, known = _stamp(path), before.get(path)
                    if known is None or known[0] != stamp:
                        known = stamp, RunFolder.open(path.parent)
                    self._trials[path] = known
        return [trial for _, trial in self._trials.values()]

    def remove_weights(self, indices: Iterable[int]) -> None:
        """Removes the checkpoints of these trials, but no other file beside them."""
        for index in indices:
            folder = self.trial(index) / "checkpoints"
            with contextlib.suppress(OSError):
                for pattern in ("fold*.pt", "shared.pt", "unfinished.pt") if is_inside(folder, self.path) else ():
                    for path in folder.glob(pattern):
                        path.unlink()
                folder.rmdir()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
