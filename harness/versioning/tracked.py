"""Reads `.dvc` files, and compares the data on disk with the tracked version.

It does not use DVC, because each run does this, and to import DVC takes as long as to train a frozen fold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from shlex import quote
from typing import Any

from harness.errors import DataError, UsageError
from harness.util.files import file_md5, folder_md5
from harness.util.parallel import in_threads
from harness.util.schema import is_inside, quoted, read_text, schema_of, validate
from harness.versioning.ignored import kept_by_dvc, project_of
from harness.versioning.legacy import dos2unix_md5
from harness.versioning.schemas import DvcFile, Listed

CLEAN, DIFFERS, ABSENT = "clean", "differs", "absent"
MOST_BYTES = 2**20  # largest `.dvc` file
CODE = "experiments"
NEVER = {".git", ".hg", ".dvc"}
# names at the top of a project, and ends of file names, of files that programs run or read their settings from
PROGRAMS = {"experiments", "harness", "scripts", "tests", "setup", "conftest"}
ENDINGS = {*(".py", ".pyc", ".pth", ".so", ".pyd", ".sh", ".cfg", ".toml", ".ini", ".yaml", ".yml", ".db", ".journal")}
PLAIN = {"outs", "wdir", "md5", "meta", "desc", "frozen"}  # keys of a `.dvc` file that are safe for any author
PLAIN_OUT = {
    "md5",
    "size",
    "nfiles",
    "hash",
    "path",
    "isexec",
    "cache",
    "persist",
    "push",
    "desc",
    "type",
    "labels",
    "meta",
}


@dataclass(frozen=True)
class Tracked:
    """One `.dvc` file: it tracks the version `md5` of `path`. The MD5 of a folder ends in ".dir"."""

    file: Path
    path: Path
    md5: str
    files: int | None  # None for a single file, or if an older DVC wrote it
    beyond: str = ""  # other keys, which make DVC use other places; empty for a normal file
    legacy: bool = False  # whether DVC 2 wrote it, which computed MD5s of texts differently

    def is_cached(self, md5: str) -> bool:
        """Whether DVC's cache has a file with this MD5; for a folder, the list of its files."""
        from harness.versioning.cache import cached_here

        path = cached_here(self, md5)
        return path is not None and path.is_file()

    def listed(self) -> dict[str, str] | None:
        """Path -> MD5 of the files of this version, from DVC's cache; None if they are not listed there."""
        from harness.versioning.cache import cached_here

        path = cached_here(self, self.md5)
        try:
            return None if path is None else listed_files(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class State:
    """The files at a tracked path now."""

    tracked: Tracked
    word: str  # CLEAN, DIFFERS or ABSENT
    md5: str | None  # None if it is absent
    files: dict[str, str]  # path relative to the tracked folder (or the name of a single file) -> MD5

    @property
    def fix(self) -> str:
        """What to type to get the tracked version or to save the files here; empty if they are equal."""
        path = quote(str(self.tracked.path))
        if self.word == CLEAN:
            return ""
        if self.word == ABSENT:
            return f"harness data ready {path}"
        if not self.files:
            return f"harness data pull {path}"
        if self.md5 and self.tracked.is_cached(self.md5):
            return f"harness data pull {path} (the files here are another version, which DVC has)"
        return (
            f"harness data track {path}, to save it as a new version; "
            f"or harness data pull --force {path}, to discard it"
        )

    def changes(self) -> dict[str, int] | None:
        """Number of changed, new and missing files; None if the tracked version is not in DVC's cache."""
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
    """The `.dvc` files in `folder` and below, those of `folder` first.

    Tracked folders, hidden folders and virtual environments are not searched.
    """
    return sorted(_below(folder), key=lambda file: (len(file.parts), file))


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        tracking = {name for name in files if name.endswith(".dvc") and name != ".dvc"}
        yield from (Path(here, name) for name in tracking)
        folders[:] = [
            name
            for name in folders
            if f"{name}.dvc" not in tracking and name[0] != "." and not Path(here, name, "pyvenv.cfg").exists()
        ]


def tracked_files(paths: Sequence[str] = (), folder: Path = Path()) -> list[Path]:
    """The `.dvc` files of `paths`, or all in `folder`. Raises UsageError if there is none."""
    if not paths:
        tracked = dvc_files(folder)
        if not tracked:
            raise UsageError(
                "nothing is tracked here", f"there is no .dvc file in {folder.absolute()}", "harness data track data"
            )
        return tracked
    files = []
    for path in paths:
        file = Path(path) if path.endswith(".dvc") else Path(path.rstrip("/") + ".dvc")
        if not file.is_file():
            raise UsageError(f"{path} is not tracked", f"there is no {file}", f"harness data track {quote(path)}")
        files.append(file)
    return files


def read_tracked(file: Path) -> Tracked:
    """Reads a `.dvc` file. Raises DataError if it is damaged, tracks several paths, or a path outside its folder."""
    import yaml

    try:
        content = validate(schema_of(DvcFile), yaml.safe_load(read_text(file, MOST_BYTES)))
    except yaml.YAMLError as error:
        raise _damaged(file, "it is not valid YAML") from error
    except RecursionError as error:
        raise _damaged(file, "it is nested too deep") from error
    except (OSError, ValueError) as error:
        raise _damaged(file, str(getattr(error, "strerror", None) or error)) from error
    if len(content["outs"]) != 1:
        raise _damaged(file, "it must track exactly one path")
    (out,) = content["outs"]
    where = Path(os.path.normpath(file.parent / content.get("wdir", ".") / out["path"]))
    _require_place(file, where)
    return Tracked(file, where, out["md5"], out.get("nfiles"), _beyond(content, out), "hash" not in out)


def listed_files(content: bytes) -> dict[str, str]:
    """Reads DVC's list of a version's files: path -> MD5. Raises ValueError if the list is invalid.

    The list may come from an untrusted author. It is invalid if a path points outside the folder or an MD5 is a path.
    """
    entries = validate(schema_of(list[Listed]), json.loads(content))
    for entry in entries:
        if not NEVER.isdisjoint(entry["relpath"].lower().split("/")[:-1]):  # DVC ignores these folders
            raise ValueError(f"{quoted(entry['relpath'])} is not data")
    return {entry["relpath"]: entry["md5"] for entry in entries}


def require_inside_project(tracked: Tracked, paths: Iterable[str] = ()) -> None:
    """Raises DataError if it is not safe to write a tracked path, or one of its `paths`, after links are resolved.

    It is not safe outside the project, and in places from which programs run files or read settings. Only for writing:
    to read, a link to another disk is allowed.
    """
    home, folders = project_of(tracked.file), {Path(path).parent for path in paths}
    if tracked.path != tracked.file.with_suffix(""):
        raise DataError(
            f"{tracked.path} is not written to",
            f"{tracked.file} is not next to that path, where harness data track would have put it",
            f"dvc pull {quote(str(tracked.file))}, if you trust its author",
        )
    real = Path(os.path.realpath(tracked.path))
    parts = real.relative_to(os.path.realpath(home)).parts if is_inside(tracked.path, home) else ()
    if not parts or _is_reserved(parts) or _is_program(parts):
        raise DataError(
            f"{tracked.path} is not written to",
            f"it is {real}, which is outside of {home}, or is run or read as settings by programs",
            f"dvc pull {quote(str(tracked.file))}, if you trust its author",
        )
    for folder in sorted(folders):
        parent = tracked.path / folder
        if parent != tracked.path and not is_inside(parent, tracked.path):
            raise DataError(
                f"{parent} is not written to",
                f"it points outside {tracked.path}",
                f"rm {quote(str(parent))}, if it is a link",
            )


def state_of(tracked: Tracked, known: Mapping[Path, str] | None = None) -> State:
    """Compares the files on disk with the tracked version. A file whose MD5 is in `known` is not read again.

    Raises DataError if a file cannot be read.
    """
    if not tracked.path.exists():
        return State(tracked, CLEAN if tracked.files == 0 else ABSENT, None, {})
    given = {} if tracked.legacy or known is None else known
    digest_of = dos2unix_md5 if tracked.legacy else file_md5
    names = kept_by_dvc(tracked.path) if tracked.path.is_dir() else [""]
    paths = [tracked.path / name if name else tracked.path for name in names]
    try:
        hashes = list(in_threads(lambda path: given.get(path.absolute()) or _md5(path, digest_of), paths))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read", str(error.strerror), f"chmod u+r {quote(str(error.filename))}"
        ) from error
    files = {name or tracked.path.name: md5 for name, md5 in zip(names, hashes, strict=True)}
    md5 = folder_md5(files) if tracked.path.is_dir() else hashes[0]
    return State(tracked, CLEAN if md5 == tracked.md5 else DIFFERS, md5, files)


def _md5(path: Path, digest_of: Callable[[Path], str]) -> str:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file", "it is a pipe, a socket or a device", f"rm {quote(str(path))}")
    return digest_of(path)


def _beyond(content: Mapping[str, Any], out: Mapping[str, Any]) -> str:
    names = sorted(name for name in content if name not in PLAIN and content[name])
    names += sorted(f"outs.{name}" for name in out if name not in PLAIN_OUT and out[name])
    return ascii(", ".join(map(str, names)))[1:-1][:100]


def _require_place(file: Path, where: Path) -> None:
    """Raises DataError if a `.dvc` file tracks a path outside its folder, or that is not data."""
    home = Path(os.path.normpath(file.parent))
    parts = where.relative_to(home).parts if where.is_relative_to(home) else ()
    if not parts:
        raise _damaged(file, f"{quoted(str(where))} is not inside {home}")
    if _is_reserved(parts):
        raise _damaged(file, f"{quoted(str(where))} cannot be data: programs run files in that folder")


def _is_reserved(parts: Sequence[str]) -> bool:
    """Whether a path in the project cannot be data: it is hidden, like `.git`, or an experiment."""
    return any(part.startswith(".") for part in parts) or parts[0].lower() == CODE


def _is_program(parts: Sequence[str]) -> bool:
    """Whether programs may run a path in the project, or read their settings from it."""
    last = PurePath(parts[-1].lower())
    return parts[0].lower().partition(".")[0] in PROGRAMS or last.suffix in ENDINGS or last.name == "makefile"


def _damaged(file: Path, why: str) -> DataError:
    return DataError(
        f"{file} cannot be read", f"damaged: {why}", f"git checkout {quote(str(file))}, or harness data track FOLDER"
    )
