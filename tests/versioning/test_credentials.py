"""The key of a service account: where its path is kept, and what is no key. None is ever shown."""

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


def test_the_folders_id_goes_to_git_and_the_path_of_the_key_stays_on_this_machine(project: Path, call: Call) -> None:
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


def test_the_path_of_the_key_is_kept_from_wherever_it_was_typed(project: Path, call: Call) -> None:
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
    "no JSON": ("it is no valid JSON", json.dumps(KEY)[:-20]),
    "only the key's text": ("it is no valid JSON", KEY["private_key"]),
    "a person's login": (
        "it is the login of a person",
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
def test_what_is_no_key_is_told_apart_and_never_quoted(project: Path, call: Call, why: str, text: str) -> None:
    path = project.parent / "key.json"
    path.write_text(text)
    outcome = call("data", "remote", "gdrive", ID, "--service-account", path)
    assert_reported(outcome, 5, "key.json", why)
    assert SECRET not in outcome.err
    assert not (project / ".dvc/config.local").exists()
    assert ID not in (project / ".dvc/config").read_text()


def test_a_key_that_cannot_be_read_is_told(project: Path, call: Call) -> None:
    missing = project.parent / "nowhere.json"
    assert_reported(
        call("data", "remote", "gdrive", ID, "--service-account", missing), 5, "No such file", "nowhere.json"
    )
    missing.write_bytes(b"\xff\xfe" + SECRET.encode("utf-16-le"))
    assert_reported(call("data", "remote", "gdrive", ID, "--service-account", missing), 5, "it is no text")


def test_a_key_with_a_byte_order_mark_is_a_key(project: Path, call: Call) -> None:
    path = project.parent / "key.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(KEY).encode())
    assert call("data", "remote", "gdrive", ID, "--service-account", path).code == 0


def test_a_key_in_the_environment_that_is_none_is_told_and_never_quoted() -> None:
    with pytest.raises(RemoteError, match=r"\$GDRIVE_CREDENTIALS_DATA is no key") as caught:
        parsed(SECRET, "$GDRIVE_CREDENTIALS_DATA")
    assert SECRET not in str(caught.value)
    assert SECRET not in str(parsed(json.dumps(KEY), "here"))


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_without_any_key_nobody_waits_for_a_browser(
    project: Path, call: Call, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    call("data", "track", "data")
    call("data", "remote", "gdrive", ID)
    forget(project, ".dvc/cache")  # else nothing would have to be fetched
    assert_reported(call("data", verb), 5, "there are no credentials for gdrive_remote", "--service-account FILE")
    monkeypatch.setenv("GDRIVE_CREDENTIALS_DATA", SECRET)
    outcome = call("data", verb)
    assert_reported(outcome, 5, "$GDRIVE_CREDENTIALS_DATA is no key")
    assert SECRET not in outcome.err
