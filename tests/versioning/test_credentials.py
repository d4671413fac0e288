"""The key of a service account: where its path is stored, and invalid keys. A key is never printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.versioning.credentials import parsed
from harness.versioning.remote import default_remote
from tests.conftest import git
from tests.versioning.conftest import Call, assert_reported, forget

pytest.importorskip("dvc")
ID = "1aTeamFolderOfOurs0000"
SECRET = "Zm9vYmFy" * 8
KEY = {
    "type": "service_account",
    "private_key": "-----BEGIN " + f"PRIVATE KEY-----\n{SECRET}\n-----END " + "PRIVATE KEY-----\n",
    "client_email": "robot@ours.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def test_set_gdrive_writes_the_folder_to_config_and_the_key_to_config_local(project: Path, call: Call) -> None:
    path = project.parent / "key.json"
    path.write_text(json.dumps(KEY))
    outcome = call("data", "remote", "gdrive", ID, "--service-account", path)
    assert outcome.code == 0, outcome.err
    assert KEY["client_email"] in outcome.out
    assert SECRET not in outcome.out + outcome.err
    public, private = ((project / ".dvc" / name).read_text() for name in ("config", "config.local"))
    assert f"gdrive://{ID}" in public
    assert (str(path) in public, str(path) in private) == (False, True)
    assert SECRET not in public + private
    assert git(project, "check-ignore", ".dvc/config.local")
    assert call("data", "remote").out == f"gdrive_remote: gdrive://{ID}, the default remote\n"


def test_set_gdrive_stores_the_absolute_path_of_the_key(project: Path, call: Call) -> None:
    (project.parent / "key.json").write_text(json.dumps(KEY))
    call("data", "remote", "gdrive", ID, "--service-account", "../key.json")
    remote = default_remote(project)
    assert remote is not None
    assert remote.key_file is not None
    assert remote.key_file.is_absolute()
    assert remote.key_file.resolve() == project.parent / "key.json"
    assert call("data", "remote", "gdrive", ID + "1").code == 0  # another folder, the same key
    again = default_remote(project)
    assert again is not None
    assert (again.url, again.key_file) == (f"gdrive://{ID}1", remote.key_file)


NO_KEYS = {
    "no JSON": ("it is not valid JSON", json.dumps(KEY)[:-20]),
    "only the key's text": ("it is not valid JSON", KEY["private_key"]),
    "a person's login": (
        "it is the login of a user",
        json.dumps({"type": "authorized_user", "refresh_token": SECRET}),
    ),
    "an OAuth client": ("it is the client of an OAuth login", json.dumps({"installed": {"client_secret": SECRET}})),
    "a list": ("it is something else", json.dumps([SECRET])),
    "another kind": ("it is something else", json.dumps(KEY | {"type": SECRET})),
    "no key in it": ("it has no private_key", json.dumps({**KEY, "private_key": None})),
    "a key that is none": ("it has no private_key", json.dumps({**KEY, "private_key": SECRET})),
    "no address": ("it has no client_email, token_uri", json.dumps(KEY | {"client_email": "", "token_uri": 1})),
}


@pytest.mark.parametrize(("why", "text"), NO_KEYS.values(), ids=NO_KEYS)
def test_read_key_describes_an_invalid_key_and_does_not_quote_it(
    project: Path, call: Call, why: str, text: str
) -> None:
    path = project.parent / "key.json"
    path.write_text(text)
    outcome = call("data", "remote", "gdrive", ID, "--service-account", path)
    assert_reported(outcome, 5, "key.json", why)
    assert SECRET not in outcome.err
    assert not (project / ".dvc/config.local").exists()
    assert ID not in (project / ".dvc/config").read_text()


def test_read_key_raises_if_the_file_cannot_be_read(project: Path, call: Call) -> None:
    missing = project.parent / "nowhere.json"
    assert_reported(
        call("data", "remote", "gdrive", ID, "--service-account", missing), 5, "No such file", "nowhere.json"
    )
    missing.write_bytes(b"\xff\xfe" + SECRET.encode("utf-16-le"))
    assert_reported(call("data", "remote", "gdrive", ID, "--service-account", missing), 5, "it is not a text file")


def test_read_key_accepts_a_byte_order_mark(project: Path, call: Call) -> None:
    path = project.parent / "key.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(KEY).encode())
    assert call("data", "remote", "gdrive", ID, "--service-account", path).code == 0


def test_service_account_raises_for_an_invalid_key_in_the_environment() -> None:
    with pytest.raises(RemoteError, match=r"\$GDRIVE_CREDENTIALS_DATA is not a key") as caught:
        parsed(SECRET, "$GDRIVE_CREDENTIALS_DATA")
    assert SECRET not in str(caught.value)
    assert SECRET not in str(parsed(json.dumps(KEY), "here"))


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_pull_without_a_key_does_not_wait_for_a_browser(
    project: Path, call: Call, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    call("data", "track", "data")
    call("data", "remote", "gdrive", ID)
    forget(project, ".dvc/cache")  # so that there is something to fetch
    assert_reported(call("data", verb), 5, "there are no credentials for gdrive_remote", "--service-account FILE")
    monkeypatch.setenv("GDRIVE_CREDENTIALS_DATA", SECRET)
    outcome = call("data", verb)
    assert_reported(outcome, 5, "$GDRIVE_CREDENTIALS_DATA is not a key")
    assert SECRET not in outcome.err
