"""`harness data remote`: what it writes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.versioning.remote import PLACEHOLDER, default_remote
from tests.versioning.conftest import Call, assert_reported, forget

pytest.importorskip("dvc")
ID = "1aTeamFolderOfOurs0000"


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_push_and_pull_refuse_the_placeholder(project: Path, call: Call, verb: str) -> None:
    call("data", "track", "data")
    config = project / ".dvc/config"
    config.write_text(f"[core]\n    remote = ours\n['remote \"ours\"']\n    url = gdrive://{PLACEHOLDER}\n")
    assert "ours: not set up yet (a placeholder)" in call("data", "remote").out
    forget(project, ".dvc/cache")
    assert_reported(call("data", verb), 5, "no remote is set up", "placeholder")
    for typed in (PLACEHOLDER, f"https://drive.google.com/drive/folders/{PLACEHOLDER}"):
        assert call("data", "remote", "gdrive", typed).code == 2


def test_data_commands_raise_outside_a_dvc_project_and_change_nothing(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    problem = "this folder is not a DVC project"
    assert_reported(call("data", "track", "data"), 5, problem, "dvc init")
    assert_reported(call("data", "remote", "storage"), 5, problem, "dvc init")
    assert_reported(call("data", "remote", "gdrive", ID), 5, problem, "dvc init")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_data_commands_raise_for_a_damaged_configuration(stored: Path, call: Call) -> None:
    (stored / ".dvc/config").write_text("[core\n")
    for verb in ("push", "pull", "remote"):
        assert_reported(call("data", verb), 2, "config cannot be read", "git checkout")


def test_set_storage_changes_only_the_remote(project: Path, call: Call) -> None:
    other = "['remote \"other\"']\n    url = /elsewhere\n"
    (project / ".dvc/config").write_text(f"[core]\n    autostage = false\n[cache]\n    type = copy\n{other}")
    assert call("data", "remote", "../storage").code == 0
    lines = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {"core.autostage=false", "cache.type=copy", "core.remote=storage", "remote.other.url=/elsewhere"} <= {*lines}
    made = default_remote(project)
    assert made is not None
    assert Path(made.url).is_absolute()
    assert Path(made.url).resolve() == project.parent / "storage"


@pytest.mark.parametrize(
    "typed",
    [
        ID,
        f"https://drive.google.com/drive/folders/{ID}",
        f"https://drive.google.com/drive/u/0/folders/{ID}?usp=sharing",
        f"https://drive.google.com/drive/folders/{ID}/",
    ],
)
def test_set_gdrive_takes_the_id_from_the_address_of_a_folder(project: Path, call: Call, typed: str) -> None:
    assert call("data", "remote", "gdrive", typed).code == 0
    remote = default_remote(project)
    assert remote is not None
    assert (remote.url, remote.has_service_account, remote.key_file) == (f"gdrive://{ID}", True, None)


@pytest.mark.parametrize("typed", ["short", "https://drive.google.com/drive/my-drive", "two words of it"])
def test_set_gdrive_refuses_an_invalid_folder_id(project: Path, call: Call, typed: str) -> None:
    before = (project / ".dvc/config").read_text()
    assert_reported(call("data", "remote", "gdrive", typed), 2, "is not the id of a folder", "drive/folders/ID")
    assert (project / ".dvc/config").read_text() == before


def test_set_storage_removes_the_options_of_google_drive(project: Path, call: Call) -> None:
    assert_reported(call("data", "remote", "gdrive"), 2, "the folder's id is missing")
    assert_reported(call("data", "remote", "folder", ID), 2, "takes no FOLDER_ID and no key")
    assert_reported(call("data", "remote", "folder", "--service-account", "key.json"), 2, "only gdrive takes these")


@pytest.mark.parametrize(
    "address", ["https://me:hunter2@example.org/data", "ssh://me:hunter2@host/data", "s3://ours/data?secret=hunter2"]
)
def test_set_storage_refuses_a_password_and_does_not_print_it(project: Path, call: Call, address: str) -> None:
    outcome = call("data", "remote", address)
    assert_reported(outcome, 2, "contains a password", ".dvc/config is public", "--local")
    assert "hunter2" not in outcome.err
    assert not [path for path in project.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_set_storage_accepts_a_user_name(project: Path, call: Call) -> None:
    assert call("data", "remote", "ssh://me@host/data").code == 0
    remote = default_remote(project)
    assert remote is not None
    assert remote.url == "ssh://me@host/data"


PRIVATE = "Zm9vYmFy" * 8
KEYS = {
    "a whole key": '{"type": "service_account", "x": "' + PRIVATE + '"}',
    "its text": "my -----BEGIN " + f"PRIVATE KEY-----\n{PRIVATE}",
    "something long": PRIVATE * 16,
}
PLACES = (("gdrive", "KEY"), ("KEY",), ("gdrive", ID, "--service-account", "KEY"))


@pytest.mark.parametrize("typed", PLACES, ids=["folder-id", "address", "service-account"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_require_plain_refuses_a_key_and_does_not_quote_it(
    project: Path, call: Call, typed: tuple[str, ...], key: str
) -> None:
    before = (project / ".dvc/config").read_bytes()
    outcome = call("data", "remote", *(key if word == "KEY" else word for word in typed))
    assert_reported(outcome, 2, "looks like the content of a key", "--service-account FILE")
    assert PRIVATE not in outcome.err
    assert (project / ".dvc/config").read_bytes() == before
    assert not (project / ".dvc/config.local").exists()


@pytest.mark.parametrize("typed", PLACES, ids=["folder-id", "address", "service-account"])
@pytest.mark.parametrize("value", ["", " ", "two\nlines", "it's", 'a"b', "a,b", "a;b", "a#b", "a`b"])
def test_require_plain_refuses_characters_that_dvc_would_not_read_correctly(
    project: Path, call: Call, typed: tuple[str, ...], value: str
) -> None:
    before = (project / ".dvc/config").read_bytes()
    outcome = call("data", "remote", *(value if word == "KEY" else word for word in typed))
    assert_reported(outcome, 2, "cannot be written to .dvc/config")
    assert (project / ".dvc/config").read_bytes() == before


def test_set_storage_keeps_comments_and_other_settings(project: Path, call: Call) -> None:
    others = "# ours\n[core]\n    autostage = false\n['remote \"other\"']\n    url = /elsewhere  # of others\n"
    options = "    jobs = 4\n    # to be sure\n    verify = true\n"
    (project / ".dvc/config").write_text(f"{others}['remote \"storage\"']\n    url = /old\n{options}")
    assert call("data", "remote", "/new").code == 0
    text = (project / ".dvc/config").read_text()
    lines = [line.split() for line in text.splitlines()]
    for line in (others + options).splitlines():
        assert line.split() in lines
    assert "/old" not in text
    remote = default_remote(project)
    assert remote is not None
    assert (remote.url, remote.options["jobs"], remote.options["verify"]) == ("/new", "4", "true")


@pytest.mark.parametrize(
    "text",
    [
        "[core]\n    remote = ours\n['remote \"Ours\"']\n    URL = s3://bucket/data\n",
        '[core]\nremote=ours # of the team\n[\'remote "ours"\'] # it\nurl = "s3://bucket/a#b"  # c\n',
        "[core]\n    remote = ours\n['remote \"ours\"']\n    url = s3://bucket/%(profile)s\n    profile = me\n",
        "\n# ours\n[core]\n    remote = 'ours'\n['remote \"ours\"']\n    url = s3://bucket/a b\n    jobs = 4\n",
    ],
)
def test_default_remote_reads_a_configuration_like_dvc(project: Path, text: str) -> None:
    from dvc.config import Config

    (project / ".dvc/config").write_text(text)
    theirs = Config(str(project / ".dvc"))
    remote = default_remote(project)
    assert remote is not None
    assert remote.url == theirs["remote"][theirs["core"]["remote"].lower()]["url"]


def test_set_storage_raises_if_this_machine_has_another_default_remote(project: Path, call: Call) -> None:
    (project / ".dvc/config.local").write_text("[core]\n    remote = mine\n")
    before = (project / ".dvc/config").read_bytes()
    assert_reported(
        call("data", "remote", "../storage"), 2, "default remote of this machine is mine", "--unset core.remote"
    )
    assert (project / ".dvc/config").read_bytes() == before


@pytest.mark.parametrize("line", ["hunter2", "[core", "url hunter2"])
@pytest.mark.parametrize("verb", ["push", "pull", "remote"])
def test_data_commands_do_not_quote_a_damaged_line(stored: Path, call: Call, verb: str, line: str) -> None:
    (stored / ".dvc/config").write_text(f"{line}\n['remote \"storage\"']\n    hunter2\n")
    outcome = call("data", verb)
    assert_reported(outcome, 2, "config cannot be read")
    assert "hunter2" not in outcome.err


def test_data_commands_do_not_quote_a_damaged_line_in_a_traceback(stored: Path) -> None:
    (stored / ".dvc/config").write_text("[core\n    url hunter2\n")
    command = [sys.executable, "-m", "harness", "data", "push", "--debug"]
    done = subprocess.run(command, cwd=stored, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, True)
    assert "config cannot be read" in done.stderr
    assert "hunter2" not in done.stderr
