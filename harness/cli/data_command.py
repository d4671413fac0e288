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
    """Check and mend data sets, and keep data and models under DVC."""


command.add_command(data_check.check)
command.add_command(data_changes.apply)
command.add_command(data_changes.undo)


@command.command(short_help="Draw the sea-or-forest demo data.")
@click.option("--to", "folder", default="data", show_default=True, help="Folder to draw into.")
@click.option("--force", is_flag=True, help="Replace what is there, if it is something else.")
def demo(folder: str, force: bool) -> None:
    """Draw the sea-or-forest demo data: the same images, to the bit, on every call."""
    from harness.data.demo import draw_demo

    counts, drawn = draw_demo(Path(folder), force=force)
    counted = ", ".join(f"{name} {count}" for name, count in counts.items())
    echo(f"{folder}: {counted} images {'drawn' if drawn else 'are there already (--force draws them again)'}")
    if drawn:
        _keep(Path(folder))
    echo("next: harness run quickstart")


@command.command(short_help="Say whether what is here is what is tracked.")
@click.argument("paths", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def status(paths: tuple[str, ...], as_json: bool) -> None:
    """Say whether what is here is what the .dvc files stand for: clean, differs, or absent."""
    from harness.versioning.tracked import read_tracked, state_of, tracked_files

    states = [state_of(read_tracked(file)) for file in tracked_files(paths)]
    if as_json:
        echo_json({"tracked": [_plain(state) for state in states]})
        return
    for state in states:
        echo(_line(state, max(len(str(other.tracked.path)) for other in states)))


@command.command(short_help="Fetch what is tracked from the remote.")
@click.argument("paths", nargs=-1)
@click.option("--force", is_flag=True, help="Give up what was changed here and is in no version.")
def pull(paths: tuple[str, ...], force: bool) -> None:
    """Fetch from the remote what the .dvc files of PATHS, or all of them, stand for."""
    from harness.versioning.repo import pull as fetch
    from harness.versioning.tracked import tracked_files

    files = tracked_files(paths)
    fetched = fetch(files, force=force)
    changed = sorted(
        {path.rstrip("/\\") for kind in ("added", "modified", "deleted") for path in fetched.get(kind, [])}
    )
    became = f"{', '.join(changed)} as it says" if changed else "all was as it says"
    echo(f"{', '.join(map(str, files))}: {fetched['fetched']} files fetched; {became}")


@command.command(short_help="Draw or pull what is not here yet.")
@click.argument("path", default="data")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write what is there to this file, for a pipeline.")
@click.option("--md5", help="The version that is wanted; another one in the .dvc file is an error.")
def ready(path: str, receipt: Path | None, md5: str | None) -> None:
    """Make sure that PATH is what its .dvc file says: draw it, if that is the demo data, else pull it."""
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
            f"{file} stands for another version", f"{state.tracked.md5}, and not {md5}", f"git log {quote(str(file))}"
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
        raise DataError(f"{path} is not what {file} says", _line(state, 0), f"harness data status {quote(path)}")
    if receipt is not None:
        write_whole(receipt, f"{json.dumps({'md5': state.md5, 'files': len(state.files)})}\n".encode())
    echo(_line(state, 0))


@command.command(short_help="Send what is tracked to the remote.")
@click.argument("paths", nargs=-1)
def push(paths: tuple[str, ...]) -> None:
    """Send to the remote what the .dvc files of PATHS, or all of them, stand for."""
    from harness.versioning.repo import push as send
    from harness.versioning.tracked import tracked_files

    files = tracked_files(paths)
    count = send(files)
    echo(f"{', '.join(map(str, files))}: {f'{count} files sent' if count else 'the remote has it all'}")


@command.command(short_help="Put a file or folder under DVC, or its new version.")
@click.argument("path")
def track(path: str) -> None:
    """Put a file or folder under DVC, or its new version."""
    from harness.versioning.repo import track as add
    from harness.versioning.tracked import read_tracked

    own = Path(path.rstrip("/") + ".dvc")
    before = own.read_bytes() if own.is_file() else b""
    for file in map(Path, add(path)):
        tracked = read_tracked(file)
        files = "" if tracked.files is None else f", {tracked.files} files"
        if file == own and file.read_bytes() == before:
            echo(f"{tracked.path}: {tracked.md5}{files}, as before")
            continue
        echo(f"{tracked.path}: {tracked.md5}{files}")
        rule = file.with_name(".gitignore")  # into which DVC has written, unless git ignored it already
        written = f"{file} {rule}" if rule.is_file() else str(file)
        echo(f'next: git add {written}; git commit -m "..."   keeps the version; harness data push   sends the files')


@command.command(short_help="Say or show where data and models are kept.")
@click.argument("where", required=False)
@click.argument("folder_id", required=False)
@click.option("--service-account", type=click.Path(), help="The key's JSON file; its path stays on this machine.")
def remote(where: str | None, folder_id: str | None, service_account: str | None) -> None:
    """Say where data and models are kept: gdrive FOLDER_ID, or any PATH or URL that DVC knows. Without: show it."""
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
                f"{where} takes neither FOLDER_ID nor key", "these belong to gdrive", f"harness data remote {where}"
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
        echo(f"note: {key} lies in the project, where a key is in danger of being committed: keep it outside")
    if account is not None:
        echo(f'next: share the folder with {account.email}; git commit .dvc/config -m "..."; harness doctor')
    else:
        echo('next: git commit .dvc/config -m "..."; harness doctor, which says what is missing')


def _require_receipt(receipt: Path, tracked: Path) -> None:
    """Raises UsageError where it would be written over something else, or into the data."""
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
        why = "" if known else "it is a file already, and no receipt"
    if why:
        raise UsageError(f"{receipt} is no place for a receipt", why, "--receipt runs/data.json")


def _keep(folder: Path) -> None:
    """Demo data that are what their .dvc file says are DVC's own, without any remote."""
    from importlib.util import find_spec

    from harness.versioning.tracked import CLEAN, read_tracked, state_of

    file = folder.with_name(folder.name + ".dvc")
    if not file.is_file() or find_spec("dvc") is None:
        return
    with contextlib.suppress(HarnessError):  # they are drawn, whatever DVC says
        if state_of(read_tracked(file)).word == CLEAN:
            from harness.versioning.repo import keep, make_empty

            keep(file)
            make_empty(Path())


def _line(state: State, width: int) -> str:
    tracked = state.tracked
    count = f"{len(state.files)} files" if state.files or state.word != "absent" else "no files"
    parts = [f"{tracked.path!s:<{width}}", f"{state.word:<7}", count]
    if state.word == "clean":
        parts.append(f"as {tracked.file} says: {tracked.md5}")
    elif state.word == "absent":
        wanted = "" if tracked.files is None else f" ({tracked.files} files)"
        parts.append(f"{tracked.file} stands for {tracked.md5}{wanted}: {state.fix}")
    else:
        changes = state.changes()
        told = (
            "" if changes is None else ": " + ", ".join(f"{count} {word}" for word, count in changes.items() if count)
        )
        parts.append(f"from {tracked.file}{told}: {state.fix}")
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
