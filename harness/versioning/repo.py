"""Runs DVC's add, pull and push, and converts DVC's errors to `HarnessError`s."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from harness.errors import DataError, HarnessError, RemoteError, UsageError, storage_errors
from harness.util.console import print_line
from harness.util.files import file_md5
from harness.util.parallel import in_threads
from harness.util.schema import is_inside
from harness.util.text import few
from harness.versioning.cache import cached, database_of, remote_database_of
from harness.versioning.credentials import NONE, VARIABLE, service_account
from harness.versioning.legacy import dos2unix_md5
from harness.versioning.lists import contents, fetch_list, listed
from harness.versioning.problems import KEY, explained
from harness.versioning.remote import HOW, Remote, default_remote, require_usable
from harness.versioning.tracked import (
    CLEAN,
    DIFFERS,
    Tracked,
    dvc_files,
    read_tracked,
    require_inside_project,
    state_of,
)

LOCKED = "LockError"  # raised by DVC after some seconds
LOGGERS = ("dvc", "dvc_data", "dvc_objects", "dvc_gdrive", "pydrive2", "googleapiclient", "oauth2client")


def pull(files: Sequence[Path], root: Path = Path(), *, force: bool = False) -> dict[str, Any]:
    """Fetches the versions of these `.dvc` files, and puts the files in place after all of them have arrived.

    Files in DVC's cache are not fetched. Raises DataError if a file here has changes that were never tracked, unless
    `force`; RemoteError if the remote refuses or lacks a file, and then the files here are not changed.
    """
    for file in files:
        _require_pullable(read_tracked(file))
    make_empty(root)
    targets = [str(file) for file in files]
    fetched = 0
    with _repository(root) as repo:
        partial = [file for file in files if drop_damaged(repo, file)]
    remote = _usable(root) if partial else None
    if remote is not None and remote.folder is not None and not remote.folder.exists():
        raise RemoteError(
            f"the remote {remote.name} is not there",
            f"there is no folder {remote.folder}",
            "harness data remote FOLDER, if it has another path; if it is on another disk, mount the disk",
        )
    with _repository(root, remote) as repo:
        if remote is not None:
            for file in partial:
                wanted = read_tracked(file)
                came = fetch_list(repo, remote.name, wanted)
                if came is None:
                    raise _not_all(remote, {str(file): [wanted.md5]}, [file])
                fetched += came
            fetched += int(repo.fetch(targets=targets))
            _require_fetched(repo, remote, partial, files)
        for tracked in map(read_tracked, files):
            require_inside_project(tracked, listed(repo, tracked))
        with _without_key():
            return {**repo.checkout(targets=targets, force=force), "fetched": fetched}


def push(files: Sequence[Path], root: Path = Path()) -> int:
    """Sends the versions of these `.dvc` files. Returns the number of files that the remote did not have."""
    remote = _usable(root)
    make_empty(root)
    with _repository(root, remote) as repo:
        for file in files:
            _require_cached(repo, file)
        if remote.folder is not None:
            if not remote.folder.exists():
                print_line(f"note: {remote.folder} does not exist yet, and is created")
            for file in files:
                _forget_lost(repo, remote.name, read_tracked(file))
        return int(repo.push(targets=[str(file) for file in files]))


def track(path: str, root: Path = Path(), wait: bool = False) -> list[str]:
    """Tracks `path`, or its new version, with DVC. Returns the `.dvc` files to commit to git.

    If another DVC command is running, waits for it with `wait`. Without `wait`, this is an error.
    """
    if not Path(path).exists():
        raise UsageError(f"{path} is not there", "only existing files can be tracked", "harness data track data")
    if not Path(os.path.normpath(Path(path).absolute())).is_relative_to(root.absolute()):
        raise UsageError(f"{path} is outside the project", "DVC tracks only files in it", f"cp -r {quote(path)} .")
    has_printed = False
    while True:
        try:
            with _repository(root) as repo:
                return [os.path.relpath(stage.path) for stage in repo.add([path])]
        except HarnessError as error:
            if not wait or type(error.__cause__).__name__ != LOCKED:
                raise
        if not has_printed:
            print_line(f"another DVC command is running here: waiting for it, to track {path}")
            has_printed = True


def keep(file: Path, root: Path = Path()) -> None:
    """Adds the files here, which match the version in `file`, to DVC's cache, so that DVC knows them."""
    with _repository(root) as repo:
        repo.commit(str(file), force=True)


@contextlib.contextmanager
def _repository(root: Path, remote: Remote | None = None) -> Iterator[Any]:
    """DVC's object for the project at `root`. Converts errors that DVC raises or logs to a HarnessError."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.setdefault("GDRIVE_NON_INTERACTIVE", "1")  # DVC would open a browser and wait
    default_remote(root)  # raises our error for a damaged configuration, which does not quote the damaged line
    try:
        from dvc.repo import Repo
    except ImportError as error:
        raise RemoteError("DVC is not installed", str(error), 'pip install "dvc[gdrive]"') from error
    with _captured_events() as logged, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DVC's uses of deprecated functions
        try:
            with Repo(str(root)) as repo:
                yield repo
        except HarnessError:
            raise
        except Exception as error:
            raise explained([error, *logged], remote) from error


@contextlib.contextmanager
def _without_key() -> Iterator[None]:
    """Lets DVC's driver for Google Drive start without a key. It asks for one even if nothing has to be fetched."""
    missing = VARIABLE not in os.environ
    if missing:
        os.environ[VARIABLE] = NONE
    try:
        yield
    finally:
        if missing:
            del os.environ[VARIABLE]


@contextlib.contextmanager
def _captured_events() -> Iterator[list[BaseException]]:
    """Hides DVC's log, and collects its exceptions: DVC logs why each file failed, and raises only their number."""
    errors: list[BaseException] = []

    class ErrorCollector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                errors.append(record.exc_info[1])

    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in LOGGERS}
    collector = ErrorCollector()
    for name in LOGGERS:
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [collector], False
    try:
        yield errors
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


def _usable(root: Path) -> Remote:
    """The default remote. Raises RemoteError if it is certain, without network access, that it cannot be used."""
    remote = default_remote(root)
    if remote is None:
        raise RemoteError("no remote is set up", ".dvc/config names no default remote", HOW)
    require_usable(remote)
    if remote.has_service_account and service_account(remote) is None:
        raise RemoteError(
            f"there are no credentials for {remote.name}", f"there is neither a key file nor ${VARIABLE}", KEY
        )
    return remote


def missing_objects(repo: Any, tracked: Tracked) -> list[str]:
    """The MD5s of a version that are missing or damaged in DVC's cache: that of the file list first."""

    digest_of = dos2unix_md5 if tracked.legacy else file_md5

    def is_whole(md5: str) -> bool:
        path = cached(repo, tracked, md5)
        return path.is_file() and digest_of(path) == md5.removesuffix(".dir")

    if not is_whole(tracked.md5):
        return [tracked.md5]
    wanted = contents(repo, tracked)
    return [md5 for md5, whole in zip(wanted, in_threads(is_whole, wanted), strict=True) if not whole]


def drop_damaged(repo: Any, file: Path) -> list[str]:
    """Removes damaged files of a version from DVC's cache, because DVC would trust them. Returns all missing MD5s."""
    tracked = read_tracked(file)
    missing = missing_objects(repo, tracked)
    for path in (cached(repo, tracked, md5) for md5 in missing):
        if is_inside(path.parent / "-", Path(database_of(repo, tracked).path)):  # a file behind a link is not DVC's
            path.unlink(missing_ok=True)
    return missing


def _require_pullable(tracked: Tracked) -> None:
    """Raises DataError for a `.dvc` file that would make DVC use other places, which its author chooses."""
    if tracked.beyond:
        raise DataError(
            f"{tracked.file} is not pulled",
            f"it also has {tracked.beyond}: DVC would fetch from other places, or run a program",
            f"dvc pull {quote(str(tracked.file))}, if you trust its author",
        )
    require_inside_project(tracked)


def _forget_lost(repo: Any, remote: str, tracked: Tracked) -> None:
    """Removes files with a wrong size from a remote that is a folder.

    If a file is missing or removed, removes the file list, too: DVC would assume that all files are there.
    """
    wanted = [*contents(repo, tracked), tracked.md5]
    database = remote_database_of(repo, remote, tracked, "push")
    there = {md5: Path(database.oid_to_path(md5)) for md5 in wanted}
    lost = [md5 for md5, path in there.items() if _size(path) != _size(cached(repo, tracked, md5))]
    for md5 in {*lost, tracked.md5} if lost else ():
        there[md5].unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _require_fetched(repo: Any, remote: Remote, partial: Sequence[Path], files: Sequence[Path]) -> None:
    """Raises RemoteError if a file of the incomplete versions (`partial`) is still missing or damaged."""
    lost = {str(file): missing for file in partial if (missing := drop_damaged(repo, file))}
    if lost:
        raise _not_all(remote, lost, files)


def _not_all(remote: Remote, lost: Mapping[str, Sequence[str]], files: Sequence[Path]) -> RemoteError:
    """The error for `lost`: `.dvc` file -> the MD5s that are missing or damaged in the remote."""
    others = [str(file) for file in files if str(file) not in lost]
    file, missing = next(iter(lost.items()))
    tracked = read_tracked(Path(file))
    whole, prefix = tracked.md5, "" if tracked.legacy else "files/md5/"
    fix = "harness data push, where that version is"
    why = "that version was never pushed"
    if tracked.legacy:
        why += f", or was pushed by DVC 3: {file} has no hash: md5, so DVC searches where DVC 2 stored files"
        fix = "dvc cache migrate --dvc-files and harness data push, where that version is"
    if whole not in missing:  # the file list is there, so DVC assumes that all files are
        stored = [f"{prefix}{md5[:2]}/{md5[2:]}" for md5 in missing]
        why = f"missing or damaged there: {few(stored)}"
        fix = f"remove these and {prefix}{whole[:2]}/{whole[2:]} there, then {fix}"
    return RemoteError(
        f"the remote {remote.name} does not have all files of {', '.join(lost)}",
        f"{why}; the files here are not changed",
        fix + (f"; harness data pull {' '.join(map(quote, others))} for the others" if others else ""),
    )


def _require_cached(repo: Any, file: Path) -> None:
    """Raises DataError if the version in `file` is not complete here. DVC would silently send a part of it."""
    tracked = read_tracked(file)
    state, is_cached = state_of(tracked), not missing_objects(repo, tracked)
    if state.word == CLEAN and not is_cached:
        repo.commit(str(file), force=True)
        is_cached = not missing_objects(repo, tracked)
    elif state.word == DIFFERS:
        print_line(f"note: {tracked.path} differs from the version in {file}; that version is sent ({state.fix})")
    if is_cached:
        return
    path = quote(str(tracked.path))
    raise DataError(
        f"{tracked.path} cannot be sent",
        f"the version in {file} is neither there nor in DVC's cache",
        f"harness data track {path}, to track the files as they are now; or harness data pull {path}",
    )


def make_empty(root: Path) -> None:
    """Creates folders that are tracked as empty, like `models` before the first champion. This needs no remote."""
    for file in dvc_files(root):
        tracked = read_tracked(file)
        if tracked.files == 0 and not tracked.path.exists():
            require_inside_project(tracked)
            with storage_errors(tracked.path):
                tracked.path.mkdir(parents=True)
            keep(file, root)
