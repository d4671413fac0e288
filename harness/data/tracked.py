"""What a `.dvc` file says of the data beside it, and whether that is what lies there.

In plain Python: a run asks it each time, and importing DVC takes as long as a frozen fold does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.ignored import kept_by_dvc, project_of
from harness.errors import DataError, UsageError
from harness.files import file_md5, folder_md5
from harness.parallel import in_threads

CLEAN, DIFFERS, ABSENT = "clean", "differs", "absent"


@dataclass(frozen=True)
class Tracked:
    """One `.dvc` file: `md5`, which ends in ".dir" for a folder, is the version of `path` that it stands for."""

    file: Path
    path: Path
    md5: str
    files: int | None  # None of a single file, or where an older DVC wrote it

    @property
    def cached(self) -> Path:
        """Where DVC's cache has this version."""
        return self.cached_as(self.md5)

    def cached_as(self, md5: str) -> Path:
        """Where DVC's cache has what has that MD5; of a folder, the list of its files."""
        return project_of(self.file) / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]

    def listed(self) -> dict[str, str] | None:
        """The files of this version, path -> MD5, as DVC's cache lists them; None where it does not."""
        try:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(self.cached.read_bytes())}
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True)
class State:
    """What lies at a tracked path now."""

    tracked: Tracked
    word: str  # CLEAN, DIFFERS or ABSENT
    md5: str | None  # None where it is absent
    files: dict[str, str]  # path relative to the tracked folder -> MD5; of a single file, its name

    @property
    def fix(self) -> str:
        """What to type for the tracked version, or to keep what is here; nothing where it is clean."""
        path = self.tracked.path
        if self.word == CLEAN:
            return ""
        if self.word == ABSENT:
            return f"harness data ready {path}"
        if not self.files:
            return f"harness data pull {path}"
        if self.md5 and self.tracked.cached_as(self.md5).is_file():
            return f"harness data pull {path} (what is here is another version, which DVC has)"
        return f"harness data track {path} keeps it as a new version; harness data pull --force {path} gives it up"

    def changes(self) -> dict[str, int] | None:
        """How many files are changed, new and missing; None where the tracked version is not in DVC's cache."""
        known = self.tracked.listed()
        if known is None:
            return None
        return {
            "changed": sum(known[path] != md5 for path, md5 in self.files.items() if path in known),
            "new": len(self.files.keys() - known.keys()),
            "missing": len(known.keys() - self.files.keys()),
        }


def tracking_file(path: Path | str) -> Path | None:
    """The `.dvc` file that tracks `path`, or a folder above it: `data.dvc` for `data/train`."""
    path = Path(path)
    for folder in (path, *path.parents):
        candidate = folder.with_name(folder.name + ".dvc") if folder.name else None
        if candidate is not None and candidate.is_file():
            return candidate
    return None


def dvc_files(folder: Path = Path()) -> list[Path]:
    """The `.dvc` files in `folder`, and not the folder `.dvc`."""
    return sorted(path for path in folder.glob("*.dvc") if path.is_file())


def tracked_files(paths: Sequence[str] = (), folder: Path = Path()) -> list[Path]:
    """The `.dvc` files of `paths`, or all in `folder`. Raises UsageError where there is none."""
    if not paths:
        found = dvc_files(folder)
        if not found:
            raise UsageError(
                "nothing is tracked here", f"there is no .dvc file in {folder.absolute()}", "harness data track data"
            )
        return found
    files = []
    for path in paths:
        file = Path(path) if path.endswith(".dvc") else Path(path.rstrip("/") + ".dvc")
        if not file.is_file():
            raise UsageError(f"{path} is not tracked", f"there is no {file}", f"harness data track {path}")
        files.append(file)
    return files


def read_tracked(file: Path) -> Tracked:
    """What a `.dvc` file says. Raises DataError where it is none, or stands for more than one thing."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        outs = content["outs"]
        (out,) = outs
        md5, path, files = out["md5"], out["path"], out.get("nfiles")
        if not isinstance(md5, str) or not isinstance(path, str):
            raise TypeError("md5 and path are texts")
        where = file.parent / str(content.get("wdir", ".")) / path
    except yaml.YAMLError as error:
        raise _damaged(file, "it is no YAML") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        several = isinstance(error, ValueError) and "unpack" in str(error)
        raise _damaged(file, "it stands for several things, or none" if several else _why(error)) from error
    return Tracked(file, where, md5, files if type(files) is int else None)


def state_of(tracked: Tracked, known: Mapping[Path, str] | None = None) -> State:
    """What lies there now. Files whose MD5 is in `known`, by their resolved path, are not read again.

    Raises DataError where a file cannot be read.
    """
    if not tracked.path.exists():
        return State(tracked, CLEAN if tracked.files == 0 else ABSENT, None, {})
    given = known or {}
    names = kept_by_dvc(tracked.path) if tracked.path.is_dir() else [""]
    paths = [tracked.path / name if name else tracked.path for name in names]
    try:
        hashes = list(in_threads(lambda path: given.get(path.absolute()) or _md5(path), paths))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read", str(error.strerror), f"chmod u+r {error.filename}"
        ) from error
    files = {name or tracked.path.name: md5 for name, md5 in zip(names, hashes, strict=True)}
    md5 = folder_md5(files) if tracked.path.is_dir() else hashes[0]
    return State(tracked, CLEAN if md5 == tracked.md5 else DIFFERS, md5, files)


def _md5(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no file", "it is a pipe, a socket or a device", f"rm {path}")
    return file_md5(path)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")


def _damaged(file: Path, why: str) -> DataError:
    return DataError(f"{file} cannot be read", f"damaged: {why}", f"git checkout {file}, or harness data track FOLDER")
