"""Finds and checks the key of a Google service account."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RemoteError
from harness.versioning.remote import Remote

VARIABLE = "GDRIVE_CREDENTIALS_DATA"
NONE = "none"  # value of VARIABLE if there is no key; without it, DVC would ask for a key even to draw a plot
NEEDED = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True)
class ServiceAccount:
    """The public facts of a key. It does not contain the key."""

    email: str  # the account to share the folder with
    source: str  # where the key was found: a file, or the variable


def service_account(remote: Remote) -> ServiceAccount | None:
    """The account whose key is used for the remote; None if there is no key.

    As in DVC, a file named in the configuration has priority over the variable. Raises RemoteError for an invalid key.
    """
    if remote.key_file is not None:
        return read_key(remote.key_file)
    text = os.environ.get(VARIABLE, "")
    return None if text.strip() in ("", NONE) else parsed(text, f"${VARIABLE}")


def read_key(path: Path) -> ServiceAccount:
    """Reads the account of the key in a file. Raises RemoteError if it is not a valid key."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a text file"
        raise RemoteError(
            f"the key {path} cannot be read", why, "harness data remote gdrive FOLDER_ID --service-account FILE"
        ) from error
    return parsed(text, str(path))


def parsed(text: str, source: str) -> ServiceAccount:
    """Reads the account of a key. Raises RemoteError if it is not a valid key. The error never contains the key."""
    how = "in Google's console: IAM, Service Accounts, Keys, Add key, JSON"
    try:
        key = json.loads(text)
    except ValueError as error:
        raise RemoteError(
            f"{source} is not a key", "it is not valid JSON: the whole, unchanged file is needed", how
        ) from error
    kind = key.get("type") if isinstance(key, dict) else None
    if kind != "service_account":
        described = {"authorized_user": "the login of a user"}.get(str(kind), "something else")
        if isinstance(key, dict) and {"installed", "web"} & key.keys():
            described = "the client of an OAuth login"
        raise RemoteError(f"{source} is not the key of a service account", f"it is {described}", how)
    missing = [name for name in NEEDED if not isinstance(key.get(name), str) or not key[name]]
    if not missing and "PRIVATE KEY-----" not in key["private_key"]:
        missing = ["private_key"]
    if missing:
        raise RemoteError(f"{source} is not a complete key", f"it has no {', '.join(missing)}", how)
    return ServiceAccount(key["client_email"], source)
