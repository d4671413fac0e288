"""`harness data`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from harness.cli import data_changes, data_check
from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.versioning.remote import Remote
    from harness.versioning.tracked import State


@click.group("data", short_help=cli.VERBS["data"])
def command() -> None:
    """Check and fix data sets, and keep versions of data and models with DVC."""


command.add_command(data_check.check)
command.add_command(data_changes.apply)
command.add_command(data_changes.undo)


@command.command(short_help="Draw the sea-or-forest demo data.")
@click.option("--to", "folder", default="data", show_default=True, help="Folder to draw into.")
@click.option("--force", is_flag=True, help="Replace the folder, even if it holds other files.")
def demo(folder: str, force: bool) -> None:
    """Draw the sea-or-forest demo data. Every call draws exactly the same images."""
    from harness.data.demo import draw_demo

    counts, drawn = draw_demo(Path(folder), force=force)
    counted = ", ".join(f"{name} {count}" for name, count in counts.items())
    echo(f"{folder}: {counted} images {'drawn' if drawn else 'are there already (--force draws them again)'}")
    if drawn:
        _keep(Path(folder))
    echo("next: harness run quickstart")


@command.command(short_help="Show whether the files match their tracked version.")
@click.argument("paths", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def status(paths: tuple[str, ...], as_json: bool) -> None:
    """Compare the files of PATHS, or all tracked files, with their .dvc files: clean, differs, or absent."""
    from harness.versioning.tracked import read_tracked, state_of, tracked_files

    states = [state_of(read_tracked(file)) for file in tracked_files(paths)]
    if as_json:
        echo_json({"tracked": [_plain(state) for state in states]})
        return
    for state in states:
        echo(_line(state, max(len(str(other.tracked.path)) for other in states)))


@command.command(short_help="Fetch tracked files from the remote.")
@click.argument("paths", nargs=-1)
@click.option("--force", is_flag=True, help="Overwrite local changes that are in no version.")
def pull(paths: tuple[str, ...], force: bool) -> None:
    """Fetch from the remote the version that the .dvc files of PATHS name, or all .dvc files."""
    from harness.versioning.repo import pull as fetch
    from harness.versioning.tracked import tracked_files

    files = tracked_files(paths)
    fetched = fetch(files, force=force)
    changed = sorted(
        {path.rstrip("/\\") for kind in ("added", "modified", "deleted") for path in fetched.get(kind, [])}
    )
    became = f"updated {', '.join(changed)}" if changed else "all files were up to date"
    echo(f"{', '.join(map(str, files))}: {fetched['fetched']} files fetched; {became}")


@command.command(short_help="Draw or pull data that are missing.")
@click.argument("path", default="data")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write the version to this file, for a pipeline.")
@click.option("--md5", help="The version that is needed. Another version in the .dvc file is an error.")
def ready(path: str, receipt: Path | None, md5: str | None) -> None:
    """Make sure that PATH matches its .dvc file. If PATH is missing, draw it if it is the demo data, or pull it."""
    from harness.data.demo import DIGEST, draw_demo
    from harness.errors import DataError
    from harness.util.files import write_whole
    from harness.versioning.tracked import ABSENT, CLEAN, read_tracked, require_inside_project, state_of, tracked_files

    file = tracked_files([path])[0]
    state = state_of(read_tracked(file))
    if receipt is not None:
        _require_receipt(receipt, state.tracked.path)
    if md5 is not None and state.tracked.md5 != md5:
        raise DataError(
            f"{file} names another version", f"it names {state.tracked.md5}, not {md5}", f"git log {quote(str(file))}"
        )
    if state.word == ABSENT:
        if state.tracked.md5 == DIGEST:
            require_inside_project(state.tracked)
            draw_demo(state.tracked.path)
            _keep(state.tracked.path)
        else:
            from harness.versioning.repo import pull as fetch

            fetch([file])
        state = state_of(state.tracked)
    if state.word != CLEAN:
        raise DataError(f"{path} does not match {file}", _line(state, 0), f"harness data status {quote(path)}")
    if receipt is not None:
        write_whole(receipt, f"{json.dumps({'md5': state.md5, 'files': len(state.files)})}\n".encode())
    echo(_line(state, 0))


@command.command(short_help="Send tracked files to the remote.")
@click.argument("paths", nargs=-1)
def push(paths: tuple[str, ...]) -> None:
    """Send to the remote the version that the .dvc files of PATHS name, or all .dvc files."""
    from harness.versioning.repo import push as send
    from harness.versioning.tracked import tracked_files

    files = tracked_files(paths)
    count = send(files)
    echo(f"{', '.join(map(str, files))}: {f'{count} files sent' if count else 'the remote has all files'}")


@command.command(short_help="Track a file or folder with DVC, or record its new version.")
@click.argument("path")
def track(path: str) -> None:
    """Track a file or folder with DVC, or record its new version."""
    from harness.versioning.repo import track as add
    from harness.versioning.tracked import read_tracked

    own = Path(path.rstrip("/") + ".dvc")
    before = own.read_bytes() if own.is_file() else b""
    for file in map(Path, add(path)):
        tracked = read_tracked(file)
        files = "" if tracked.files is None else f", {tracked.files} files"
        if file == own and file.read_bytes() == before:
            echo(f"{tracked.path}: {tracked.md5}{files}, unchanged")
            continue
        echo(f"{tracked.path}: {tracked.md5}{files}")
        rule = file.with_name(".gitignore")  # DVC adds a line to it, unless git ignored the path already
        written = f"{file} {rule}" if rule.is_file() else str(file)
        echo(f'next: git add {written}; git commit -m "..."   keeps the version; harness data push   sends the files')


@command.command(short_help="Set or show the storage of data and models.")
@click.argument("where", required=False)
@click.argument("folder_id", required=False)
@click.option("--service-account", type=click.Path(), help="JSON file with the key. Its path is not shared.")
def remote(where: str | None, folder_id: str | None, service_account: str | None) -> None:
    """Set the storage of data and models: gdrive FOLDER_ID, or any PATH or URL that DVC supports.

    Without arguments, show the present storage.
    """
    from harness.versioning import remote as remotes
    from harness.versioning.credentials import read_key

    for value, what in ((where, "the address"), (service_account, "the key's file")):
        if value is not None:
            remotes.require_plain(value, what)
    if where is None:
        echo(_described(remotes.default_remote()))
        return
    if where != "gdrive":
        if folder_id is not None or service_account is not None:
            raise UsageError(
                f"{where} takes no FOLDER_ID and no key", "only gdrive takes these", f"harness data remote {where}"
            )
        made = remotes.set_storage(where)
        echo(_described(made), 'next: git commit .dvc/config -m "..."; harness data push')
        return
    if folder_id is None:
        raise UsageError(
            "the folder's id is missing",
            "it is the last part of the folder's address: https://drive.google.com/drive/folders/ID",
            "harness data remote gdrive ID",
        )
    key = None if service_account is None else Path(service_account)
    account = None if key is None else read_key(key)
    made = remotes.set_gdrive(folder_id, key)
    echo(_described(made))
    if key is not None and key.resolve().is_relative_to(Path.cwd().resolve()):
        echo(f"warning: {key} is in the project, so it could be committed: keep it outside the project")
    if account is not None:
        echo(f'next: share the folder with {account.email}; git commit .dvc/config -m "..."; harness doctor')
    else:
        echo('next: git commit .dvc/config -m "..."; harness doctor   shows what is missing')


def _require_receipt(receipt: Path, tracked: Path) -> None:
    """Raises UsageError if the receipt would replace another file, or lie among the data."""
    why = ""
    if receipt.resolve().is_relative_to(tracked.resolve()):
        why = f"it would become a part of {tracked}"
    elif receipt.is_dir():
        why = "it is a folder"
    elif receipt.is_file():
        try:
            known = json.loads(receipt.read_text(encoding="utf-8")).keys() == {"md5", "files"}
        except (OSError, ValueError, AttributeError):
            known = False
        why = "" if known else "the file exists and is not a receipt"
    if why:
        raise UsageError(f"{receipt} cannot be the receipt", why, "--receipt runs/data.json")


def _keep(folder: Path) -> None:
    """Adds drawn demo data to DVC's cache if they match their .dvc file, so that no remote is needed."""
    from importlib.util import find_spec

    from harness.versioning.tracked import CLEAN, read_tracked, state_of

    file = folder.with_name(folder.name + ".dvc")
    if not file.is_file() or find_spec("dvc") is None:
        return
    with contextlib.suppress(HarnessError):  # the data are drawn, even if DVC fails
        if state_of(read_tracked(file)).word == CLEAN:
            from harness.versioning.repo import keep, make_empty

            keep(file)
            make_empty(Path())


def _line(state: State, width: int) -> str:
    tracked = state.tracked
    count = f"{len(state.files)} files" if state.files or state.word != "absent" else "no files"
    parts = [f"{tracked.path!s:<{width}}", f"{state.word:<7}", count]
    if state.word == "clean":
        parts.append(f"matches {tracked.file}: {tracked.md5}")
    elif state.word == "absent":
        wanted = "" if tracked.files is None else f" ({tracked.files} files)"
        parts.append(f"{tracked.file} names {tracked.md5}{wanted}: {state.fix}")
    else:
        changes = state.changes()
        counts = (
            "" if changes is None else ": " + ", ".join(f"{count} {word}" for word, count in changes.items() if count)
        )
        parts.append(f"from {tracked.file}{counts}: {state.fix}")
    return "  ".join(parts)


def _plain(state: State) -> dict[str, Any]:
    tracked = state.tracked
    return {
        "path": str(tracked.path),
        "file": str(tracked.file),
        "status": state.word,
        "tracked_md5": tracked.md5,
        "md5": state.md5,
        "tracked_files": tracked.files,
        "files": len(state.files),
        "changes": state.changes() if state.word == "differs" else None,
    }


def _described(remote: Remote | None) -> str:
    from harness.util.addresses import short_address

    if remote is None:
        return "no remote: harness data remote gdrive FOLDER_ID, or harness data remote FOLDER"
    if remote.is_placeholder:
        return f"{remote.name}: not set up yet (a placeholder): harness data remote gdrive FOLDER_ID"
    return f"{remote.name}: {short_address(remote.url)}, the default remote"
