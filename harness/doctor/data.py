"""Checks of tracked data and models, of their remote, and of its key."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.errors import HarnessError
from harness.util.addresses import short_address
from harness.versioning.credentials import VARIABLE, service_account
from harness.versioning.remote import HOW, Remote, default_remote
from harness.versioning.tracked import CLEAN, dvc_files, read_tracked, state_of

LIMITS = "it can read folders shared with it, but cannot push to a user's My Drive: docs/data-versioning.md"


def tracked() -> Iterator[Finding]:
    """Compares the data on disk with each `.dvc` file."""
    files = dvc_files()
    if not files:
        yield Finding("data", WARNING, "nothing is tracked by DVC here", "harness data track data")
    for file in files:
        try:
            state = state_of(read_tracked(file))
        except HarnessError as error:
            yield Finding(file.stem, PROBLEM, f"{error.what}: {error.why}", error.fix)
            continue
        text = f"{state.word}, {len(state.files)} files, {file} says {state.tracked.md5}"
        yield Finding(file.stem, OK if state.word == CLEAN else WARNING, text, state.fix)


def remote() -> Iterator[Finding]:
    """Checks DVC, its default remote, and the credentials."""
    if find_spec("dvc") is None:
        yield Finding(
            "dvc", WARNING, "DVC is not installed: data and models cannot be fetched", 'pip install "dvc[gdrive]"'
        )
    default = default_remote()
    if default is None or default.is_placeholder:
        why = "there is none" if default is None else ".dvc/config names a placeholder"
        yield Finding("remote", WARNING, f"no remote is set up: {why}", HOW)
        return
    if default.folder is not None and not default.folder.is_dir():
        text = f"{default.name}: there is no folder {default.folder}"
        yield Finding("remote", WARNING, text, "harness data push, which creates it; or mount its disk")
        return
    yield Finding("remote", OK, f"{default.name}: {short_address(default.url)}")
    if default.has_service_account:
        yield from _key(default)
    elif default.is_gdrive:
        text = "a user's login, in a browser: the first dvc push or dvc pull opens it"
        yield Finding("credentials", OK, text)


def _key(remote: Remote) -> Iterator[Finding]:
    if find_spec("dvc_gdrive") is None:
        yield Finding("gdrive", PROBLEM, "DVC's driver for Google Drive is not installed", 'pip install "dvc[gdrive]"')
    try:
        account = service_account(remote)
    except HarnessError as error:
        yield Finding("credentials", PROBLEM, f"{error.what}: {error.why}", error.fix)
        return
    if account is None:
        yield Finding(
            "credentials",
            WARNING,
            f"there is no key, neither as a file nor in ${VARIABLE}",
            "harness data remote gdrive FOLDER_ID --service-account FILE",
        )
        return
    yield Finding(
        "credentials", OK, f"service account {account.email}, from {account.source}: share the folder with it"
    )
    yield Finding("push", WARNING, LIMITS, "harness data pull, which works; for push, one of the two ways on that page")
