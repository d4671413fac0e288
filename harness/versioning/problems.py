"""Converts errors of DVC, Google's client and the network to errors of three lines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from harness.errors import DataError, HarnessError, RemoteError, UsageError
from harness.util.addresses import has_secrets, short_address, without_secrets
from harness.util.text import few
from harness.versioning.remote import HOW, Remote, no_project

KEY = "harness data remote gdrive FOLDER_ID --service-account FILE, or export GDRIVE_CREDENTIALS_DATA"
# Parts of an error's text -> why it happened, and what to type. The first match is used.
KNOWN: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("storageQuotaExceeded", "do not have storage quota", "storage quota has been exceeded"),
        "a service account has no storage in a user's My Drive, or the Drive is full",
        "push to a Shared Drive, or with your own login: docs/data-versioning.md",
    ),
    (
        ("rateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"),
        "Google's quota of requests is used up",
        "the same command in a few minutes",
    ),
    (
        ("To use service account", "gdrive_service_account_json_file_path"),
        "there are no credentials for Google Drive",
        KEY,
    ),
    (
        ("invalid_grant", "Invalid JWT Signature", "invalid_client", "account not found", "Could not deserialize key"),
        "Google refuses the credentials: the key is revoked or damaged, or this machine's clock is wrong",
        KEY,
    ),
    (
        ("insufficientFilePermissions", "insufficientPermissions", "does not have sufficient permissions"),
        "the account can read the folder, but not write to it",
        "share the folder with the account as Editor",
    ),
    (
        ("accessNotConfigured", "has not been used in project"),
        "the Drive API is off in the key's project",
        "switch it on in Google's console: APIs, Google Drive API",
    ),
    (
        ("File not found", "notFound", "ROOT"),
        "the account cannot see that folder",
        "share the folder with the account's e-mail: harness doctor shows it",
    ),
    (
        (
            "Unable to find the server",
            "Name or service not known",
            "name resolution",
            "getaddrinfo",
            "nodename nor servname",
        ),
        "there is no network, or the host does not exist",
        "the same command, when the network works",
    ),
    (
        (
            "Network is unreachable",
            "No route to host",
            "Connection refused",
            "Connection reset",
            "timed out",
            "ConnectError",
        ),
        "the remote does not answer",
        "the same command, when it answers again",
    ),
    (
        (
            "Access Denied",
            "AccessDenied",
            "Forbidden",
            "403",
            "401",
            "Unauthorized",
            "Permission denied",
            "PermissionError",
        ),
        "the remote refuses access: the credentials do not allow it",
        "harness doctor, which checks remote and credentials",
    ),
    (("No space left", "Disk quota"), "the disk is full", "make room (df -h), then the same command"),
)


def explained(errors: Sequence[BaseException], remote: Remote | None) -> HarnessError:
    """Makes one error of three lines from the errors that were raised and logged."""
    messages = [f"{type(error).__name__}: {error}" for error in _chain(errors)]
    text = "\n".join(messages)
    kind = type(errors[0]).__name__
    if kind == "NotDvcRepoError":
        return no_project()
    if kind == "NoRemoteError" or "no remote" in text.lower():
        return RemoteError("no remote is set up", ".dvc/config names no default remote", HOW)
    if "to be installed" in text or "RemoteMissingDepsError" in text:
        scheme = (remote.url.partition(":")[0] if remote else "") or "gdrive"
        return RemoteError(
            f"DVC has no driver for {scheme}", "its package is not installed", f'pip install "dvc[{scheme}]"'
        )
    where = f"the remote {remote.name} ({short_address(remote.url)})" if remote is not None else "DVC"
    if kind == "LockError":
        return RemoteError(
            "another DVC command is running here", _message(errors[0], remote), "the same command, after it has ended"
        )
    if kind == "ConfirmRemoveError" or "unsaved files without confirmation" in text:
        return DataError(
            "files here would be lost",
            f"no version contains {_unsaved(errors[0])}",
            "harness data track PATH, to save them as a new version; or harness data pull --force, to discard them",
        )
    if kind == "OutputAlreadyTrackedError":
        return UsageError(
            "git tracks it already", "git and DVC cannot both track a file", "git rm -r --cached PATH, then this again"
        )
    if kind == "OverlappingOutputPathsError":
        return UsageError("a part of it is tracked already", _message(errors[0], remote), "harness data status")
    if "Failed to authenticate GDrive" in text and remote is not None and not remote.has_service_account:
        return RemoteError(
            f"{where} cannot be used",
            "no user has logged in here yet, or the login has expired",
            "dvc push or dvc pull, once, in a terminal: a browser opens",
        )
    for words, why, fix in KNOWN:
        if any(_is_in(text, word) for word in words):
            return RemoteError(f"{where} cannot be used", why, fix)
    if "Failed to authenticate GDrive" in text:
        return RemoteError(f"{where} cannot be used", "Google Drive refuses the credentials", KEY)
    if kind == "CheckoutError" or "missing cache" in text.lower() or kind in ("DownloadError", "FileTransferError"):
        return RemoteError(
            f"{where} does not have all files of the .dvc files",
            _message(errors[0], remote),
            "harness data push, where the data is",
        )
    return RemoteError(
        f"{where} failed", _message(errors[0], remote), "the same command with --debug, for the whole traceback"
    )


def _unsaved(error: BaseException) -> str:
    """The files that DVC would remove. DVC lists them below its message."""
    names = [os.path.relpath(line.strip()) for line in str(error).splitlines()[1:] if line.strip()]
    return without_secrets(few(names)) if names else _message(error, None)


def _chain(errors: Sequence[BaseException]) -> Iterator[BaseException]:
    """Each error, and its causes."""
    seen: set[int] = set()
    left = list(errors)
    while left:
        error = left.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        left += [other for other in (error.__cause__, error.__context__) if other is not None]


def _is_in(text: str, word: str) -> bool:
    """Whether the text contains the word. A number must be a whole word, and not a part of a hash."""
    return re.search(rf"\b{word}\b", text) is not None if word.isdecimal() else word in text


def _message(error: BaseException, remote: Remote | None) -> str:
    """The error's message on one line, without secrets. A path in a bucket is not secret: it may contain "data"."""
    text = " ".join((str(error).strip() or type(error).__name__).split())
    may_be_secret = remote is not None and (remote.url.startswith("http") or has_secrets(remote.url))
    return without_secrets(text, *([remote.url] if remote is not None and may_be_secret else []))[:300]
