"""`harness data remote`: what it writes, and what it refuses to."""

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
def test_the_placeholder_is_no_remote(project: Path, call: Call, verb: str) -> None:
    call("data", "track", "data")
    config = project / ".dvc/config"
    config.write_text(f"[core]\n    remote = ours\n['remote \"ours\"']\n    url = gdrive://{PLACEHOLDER}\n")
    assert "ours: not set up yet (a placeholder)" in call("data", "remote").out
    forget(project, ".dvc/cache")
    assert_reported(call("data", verb), 5, "no remote is set up", "placeholder")
    for typed in (PLACEHOLDER, f"https://drive.google.com/drive/folders/{PLACEHOLDER}"):
        assert call("data", "remote", "gdrive", typed).code == 2


def test_a_folder_that_is_no_dvc_project_is_told_and_left_as_it_is(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    problem = "this folder is no DVC project"
    assert_reported(call("data", "track", "data"), 5, problem, "dvc init")
    assert_reported(call("data", "remote", "storage"), 5, problem, "dvc init")
    assert_reported(call("data", "remote", "gdrive", ID), 5, problem, "dvc init")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_damaged_configuration_is_told(stored: Path, call: Call) -> None:
    (stored / ".dvc/config").write_text("[core\n")
    for verb in ("push", "pull", "remote"):
        assert_reported(call("data", verb), 2, "config cannot be read", "git checkout")


def test_a_new_remote_leaves_the_rest_of_the_configuration_alone(project: Path, call: Call) -> None:
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
def test_the_address_of_a_drive_folder_is_taken_for_its_id(project: Path, call: Call, typed: str) -> None:
    assert call("data", "remote", "gdrive", typed).code == 0
    remote = default_remote(project)
    assert remote is not None
    assert (remote.url, remote.has_service_account, remote.key_file) == (f"gdrive://{ID}", True, None)


@pytest.mark.parametrize("typed", ["short", "https://drive.google.com/drive/my-drive", "two words of it"])
def test_what_is_no_folder_id_is_refused(project: Path, call: Call, typed: str) -> None:
    before = (project / ".dvc/config").read_text()
    assert_reported(call("data", "remote", "gdrive", typed), 2, "is no folder id", "drive/folders/ID")
    assert (project / ".dvc/config").read_text() == before


def test_a_remote_takes_what_belongs_to_it_alone(project: Path, call: Call) -> None:
    assert_reported(call("data", "remote", "gdrive"), 2, "the folder's id is missing")
    assert_reported(call("data", "remote", "folder", ID), 2, "takes no FOLDER_ID and no key")
    assert_reported(call("data", "remote", "folder", "--service-account", "key.json"), 2, "only gdrive takes these")


@pytest.mark.parametrize(
    "address", ["https://me:hunter2@example.org/data", "ssh://me:hunter2@host/data", "s3://ours/data?secret=hunter2"]
)
def test_an_address_with_a_password_is_refused_and_the_password_printed_nowhere(
    project: Path, call: Call, address: str
) -> None:
    outcome = call("data", "remote", address)
    assert_reported(outcome, 2, "carries a password", ".dvc/config is public", "--local")
    assert "hunter2" not in outcome.err
    assert not [path for path in project.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_the_name_of_a_user_is_no_password(project: Path, call: Call) -> None:
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
def test_what_looks_like_a_key_is_refused_and_never_quoted(
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
def test_what_dvc_would_read_otherwise_is_not_written(
    project: Path, call: Call, typed: tuple[str, ...], value: str
) -> None:
    before = (project / ".dvc/config").read_bytes()
    outcome = call("data", "remote", *(value if word == "KEY" else word for word in typed))
    assert_reported(outcome, 2, "cannot be written to .dvc/config")
    assert (project / ".dvc/config").read_bytes() == before


def test_comments_and_what_else_is_set_are_kept(project: Path, call: Call) -> None:
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
def test_default_remote_reads_a_configuration_as_dvc_does(project: Path, text: str) -> None:
    from dvc.config import Config

    (project / ".dvc/config").write_text(text)
    theirs = Config(str(project / ".dvc"))
    remote = default_remote(project)
    assert remote is not None
    assert remote.url == theirs["remote"][theirs["core"]["remote"].lower()]["url"]


def test_where_this_machine_has_another_default_remote_that_is_told(project: Path, call: Call) -> None:
    (project / ".dvc/config.local").write_text("[core]\n    remote = mine\n")
    before = (project / ".dvc/config").read_bytes()
    assert_reported(
        call("data", "remote", "../storage"), 2, "default remote of this machine is mine", "--unset core.remote"
    )
    assert (project / ".dvc/config").read_bytes() == before


@pytest.mark.parametrize("line", ["hunter2", "[core", "url hunter2"])
@pytest.mark.parametrize("verb", ["push", "pull", "remote"])
def test_a_damaged_line_may_hold_a_password_and_is_not_quoted(stored: Path, call: Call, verb: str, line: str) -> None:
    (stored / ".dvc/config").write_text(f"{line}\n['remote \"storage\"']\n    hunter2\n")
    outcome = call("data", verb)
    assert_reported(outcome, 2, "config cannot be read")
    assert "hunter2" not in outcome.err


def test_a_damaged_line_is_not_quoted_in_a_traceback_either(stored: Path) -> None:
    (stored / ".dvc/config").write_text("[core\n    url hunter2\n")
    command = [sys.executable, "-m", "harness", "data", "push", "--debug"]
    done = subprocess.run(command, cwd=stored, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, True)
    assert "config cannot be read" in done.stderr
    assert "hunter2" not in done.stderr
