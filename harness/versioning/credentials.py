"""The key of a Google service account: where it is, whether it is one, and whose."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RemoteError
from harness.versioning.remote import Remote

VARIABLE = "GDRIVE_CREDENTIALS_DATA"
NONE = "none"  # what it holds where there is no key, so that DVC asks for none: not even to draw a plot it would else
NEEDED = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True)
class ServiceAccount:
    """What of a key may be shown: never the key."""

    email: str  # whom to share the folder with
    source: str  # where the key was found: a file, or the variable


def service_account(remote: Remote) -> ServiceAccount | None:
    """Whose key opens the remote; None where there is no key at all.

    A file that the configuration names wins over the variable, as in DVC. Raises RemoteError where it is no key.
    """
    if remote.key_file is not None:
        return read_key(remote.key_file)
    text = os.environ.get(VARIABLE, "")
    return None if text.strip() in ("", NONE) else parsed(text, f"${VARIABLE}")


def read_key(path: Path) -> ServiceAccount:
    """Whose key lies at `path`. Raises RemoteError where it is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise RemoteError(
            f"the key {path} cannot be read", why, "harness data remote gdrive FOLDER_ID --service-account FILE"
        ) from error
    return parsed(text, str(path))


def parsed(text: str, source: str) -> ServiceAccount:
    """Whose key `text` is. Raises RemoteError, which never quotes it."""
    how = "in Google's console: IAM, Service Accounts, Keys, Add key, JSON"
    try:
        key = json.loads(text)
    except ValueError as error:
        raise RemoteError(
            f"{source} is no key", "it is no valid JSON: the whole file is needed, as it is", how
        ) from error
    kind = key.get("type") if isinstance(key, dict) else None
    if kind != "service_account":
        described = {"authorized_user": "the login of a person"}.get(str(kind), "something else")
        if isinstance(key, dict) and {"installed", "web"} & key.keys():
            described = "the client of an OAuth login"
        raise RemoteError(f"{source} is no service account's key", f"it is {described}", how)
    missing = [name for name in NEEDED if not isinstance(key.get(name), str) or not key[name]]
    if not missing and "PRIVATE KEY-----" not in key["private_key"]:
        missing = ["private_key"]
    if missing:
        raise RemoteError(f"{source} is no whole key", f"it has no {', '.join(missing)}", how)
    return ServiceAccount(key["client_email"], source)
