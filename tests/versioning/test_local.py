"""A folder as DVC's remote: pushing and pulling, and their errors."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.versioning.problems import explained
from harness.versioning.remote import default_remote
from harness.versioning.repo import track
from tests.conftest import git
from tests.versioning.conftest import FILES, Call, assert_reported, content_of, forget

pytest.importorskip("dvc")


def test_pull_returns_the_pushed_bytes(project: Path, call: Call) -> None:
    storage = project.parent / "storage"
    assert f"storage: {storage}, the default remote" in call("data", "remote", storage).out
    tracked = call("data", "track", "data")
    assert f"{len(FILES)} files" in tracked.out
    assert "git add data.dvc .gitignore; git commit" in tracked.out
    assert call("data", "track", "data").out == f"{tracked.out.splitlines()[0]}, unchanged\n"
    pushed = call("data", "push")
    # 5 files, because two of the data files are equal, and the list is a file, too
    assert (pushed.code, pushed.out) == (0, "data.dvc: 5 files sent\n")
    forget(project)
    pulled = call("data", "pull")
    assert (pulled.code, pulled.err) == (0, "")
    assert "5 files fetched" in pulled.out
    assert content_of(project / "data") == FILES


def test_track_adds_the_dvc_file_to_git_and_not_the_data(stored: Path) -> None:
    git(stored, "add", "-A")
    files = git(stored, "ls-files").split()
    assert {"data.dvc", ".gitignore", ".dvc/config"} <= set(files)
    assert not [name for name in files if name.startswith(("data/", ".dvc/cache"))]


def test_pull_in_a_clone_returns_the_same_bytes(stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    git(stored, "add", "-A")
    git(stored, "commit", "-qm", "data")
    git(stored.parent, "clone", "-q", str(stored), "clone")
    monkeypatch.chdir(stored.parent / "clone")
    assert "absent" in call("data", "status").out
    assert call("data", "pull", "data").code == 0
    assert content_of(stored.parent / "clone/data") == FILES
    assert "clean" in call("data", "status").out
    assert git(stored.parent / "clone", "status", "--porcelain") == ""


def test_push_says_that_the_remote_has_all_files(stored: Path, call: Call) -> None:
    assert call("data", "push").out == "data.dvc: the remote has all files\n"
    (stored / "data/new").write_bytes(b"new")
    assert call("data", "track", "data").code == 0
    assert call("data", "push", "data").out == "data.dvc: 2 files sent\n"


def test_track_push_and_pull_of_a_single_file(project: Path, call: Call) -> None:
    (project / "one.bin").write_bytes(b"one")
    call("data", "remote", project.parent / "storage")
    assert "files" not in call("data", "track", "one.bin").out.splitlines()[0]
    assert call("data", "push").out == "one.bin.dvc: 1 files sent\n"
    (project / "one.bin").unlink()
    forget(project, ".dvc/cache")
    assert call("data", "pull", "one.bin").code == 0
    assert (project / "one.bin").read_bytes() == b"one"


def test_push_sends_files_that_are_not_in_the_cache(stored: Path, call: Call) -> None:
    forget(stored, ".dvc/cache")
    shutil.rmtree(stored.parent / "storage")
    assert call("data", "push").out == "data.dvc: 5 files sent\n"


def test_push_sends_files_that_are_only_in_the_cache(stored: Path, call: Call) -> None:
    forget(stored, "data")
    shutil.rmtree(stored.parent / "storage")
    assert call("data", "push").out == "data.dvc: 5 files sent\n"


@pytest.mark.parametrize("lost", [("data", ".dvc/cache"), (".dvc/cache",)], ids=["all", "the-cache-and-a-file"])
def test_push_raises_if_files_are_neither_here_nor_in_the_cache(
    stored: Path, call: Call, lost: tuple[str, ...]
) -> None:
    forget(stored, *lost)
    (stored / "data/empty").unlink(missing_ok=True)
    outcome = call("data", "push")
    assert (outcome.code, outcome.out, len(outcome.error_lines)) == (4, "", 3), outcome.err
    for word in ("data cannot be sent", "data.dvc", "harness data track data"):
        assert word in outcome.err


def test_push_sends_data_of_a_subfolder_from_the_cache(stored: Path, call: Call) -> None:
    (stored / "sub").mkdir()
    (stored / "data").rename(stored / "sub/data")
    assert call("data", "track", "sub/data").code == 0
    forget(stored, "sub/data")
    shutil.rmtree(stored.parent / "storage")
    assert call("data", "push", "sub/data").out == "sub/data.dvc: 5 files sent\n"


def test_pull_does_not_replace_changed_files(stored: Path, call: Call) -> None:
    (stored / "data/empty").write_bytes(b"precious")
    assert_reported(call("data", "pull"), 4, "files here would be lost", "harness data track")
    assert (stored / "data/empty").read_bytes() == b"precious"


def test_pull_raises_if_the_remote_has_lost_files(stored: Path, call: Call) -> None:
    forget(stored)
    shutil.rmtree(stored.parent / "storage/files")
    assert_reported(
        call("data", "pull"), 5, "the remote storage does not have all files of data.dvc", "harness data push"
    )
    shutil.rmtree(stored.parent / "storage")
    assert_reported(
        call("data", "pull"), 5, "the remote storage is not there", str(stored.parent / "storage"), "mount the disk"
    )


def test_explained_does_not_take_403_in_a_hash_for_a_status(stored: Path) -> None:
    lost = FileNotFoundError("storage/files/md5/40/31aa403bb401")
    assert "refuses" not in str(explained([lost], default_remote(stored)))
    assert "refuses" in str(explained([OSError("<HttpError 403 when requesting it>")], default_remote(stored)))


def test_pull_creates_an_empty_folder_without_a_remote(stored: Path, call: Call) -> None:
    (stored / "models").mkdir()
    assert call("data", "track", "models").code == 0
    forget(stored, "models", ".dvc/cache")
    for verb in ("push", "pull"):
        outcome = call("data", verb)
        assert outcome.code == 0, outcome.err
    assert (stored / "models").is_dir()
    assert call("data", "status", "models").out.split()[:3] == ["models", "clean", "0"]


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_push_and_pull_raise_without_a_remote(project: Path, call: Call, verb: str) -> None:
    call("data", "track", "data")
    assert "no remote" in call("data", "remote").out
    forget(project, ".dvc/cache")
    assert_reported(call("data", verb), 5, "no remote is set up", "harness data remote FOLDER")


def test_push_names_the_driver_that_is_not_installed(project: Path, call: Call) -> None:
    if find_spec("dvc_s3") is not None:
        pytest.skip("the driver is installed")
    assert call("data", "remote", "s3://ours/data").code == 0
    call("data", "track", "data")
    assert_reported(call("data", "push"), 5, "DVC has no driver for s3", 'pip install "dvc[s3]"')
    forget(project)
    assert_reported(call("data", "pull"), 5, "DVC has no driver for s3")


def test_track_raises_or_waits_if_another_dvc_command_is_running(
    stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dvc.lock
    import zc.lockfile

    monkeypatch.setattr(dvc.lock, "DEFAULT_TIMEOUT", 0.01)
    lock = zc.lockfile.LockFile(str(stored / ".dvc/tmp/lock"))
    try:
        outcome = call("data", "pull")
        assert_reported(outcome, 5, "another DVC command is running here", "after it has ended")
        with ThreadPoolExecutor() as pool:
            tracked, err = pool.submit(track, "data", wait=True), ""
            while "waiting for it, to track data" not in err:
                assert not tracked.done()
                err += capsys.readouterr().err
            lock.close()
            assert tracked.result(60) == ["data.dvc"]
    finally:
        lock.close()


def test_push_raises_if_the_remote_folder_is_a_file(project: Path, call: Call) -> None:
    (project.parent / "storage").write_text("")
    call("data", "remote", project.parent / "storage")
    call("data", "track", "data")
    assert_reported(call("data", "push"), 5, "storage")
