"""`pull` of a project of DVC 2, and with a cache and a remote configured outside the project, equals `dvc pull`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.util.files import md5_of
from harness.versioning.legacy import BLOCK, CHUNK, dos2unix_md5
from harness.versioning.remote import default_remote
from harness.versioning.tracked import CLEAN, DIFFERS, read_tracked, state_of
from tests.conftest import write_files
from tests.versioning.conftest import FILES, Call, assert_reported, content_of, forget

pytest.importorskip("dvc")
TEXTS = {"table.csv": b"a,b\r\n1,2\r\n", "sea/unix.txt": b"one\n", "sea/image.bin": bytes(range(256)) * 9}


def dvc_2(project: Path, path: str, remote: Path, contents: dict[str, bytes]) -> None:
    """Writes what DVC 2.58 wrote for a folder: its `.dvc` file, and its objects in a remote."""
    from dvc_data.hashfile.hash import file_md5

    scratch = project.parent / "scratch"
    write_files(scratch, contents)
    md5s = {name: file_md5(str(scratch / name), name="md5-dos2unix") for name in sorted(contents)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in md5s.items()]).encode()
    whole = f"{md5_of(listing)}.dir"
    objects = {md5: contents[name] for name, md5 in md5s.items()} | {whole: listing}
    write_files(remote, {f"{md5[:2]}/{md5[2:]}": content for md5, content in objects.items()})
    text = f"outs:\n- md5: {whole}\n  size: 1\n  nfiles: {len(contents)}\n  path: {Path(path).name}\n"
    write_files(project, {f"{path}.dvc": text.encode()})


def dvc_status(project: Path) -> object:
    from dvc.repo import Repo

    with Repo(str(project)) as repo:
        return repo.status()


@pytest.fixture
def without_git(project: Path) -> Path:
    shutil.rmtree(project / ".git")
    shutil.rmtree(project / "data")
    (project / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    return project


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"a\r\nb", b"\0\r\n", b"\x80\x81\r\n", b"a" * BLOCK + b"\0\r\n"),
        *(b"a" * (CHUNK - 1) + b"\r\nb", b"\x80" * CHUNK + b"a\r\n", b"a\r\n" * 9 + b"\x80" * CHUNK + b"a\r\n"),
    ],
    ids=range(8),
)
def test_dos2unix_md5_equals_the_md5_of_dvc(tmp_path: Path, content: bytes) -> None:
    from dvc_data.hashfile.hash import file_md5

    (tmp_path / "x").write_bytes(content)
    assert dos2unix_md5(tmp_path / "x") == file_md5(str(tmp_path / "x"), name="md5-dos2unix")


def test_pull_brings_a_project_of_dvc_2_without_git(without_git: Path, call: Call) -> None:
    storage = without_git.parent / "storage"
    dvc_2(without_git, "data", storage, TEXTS)
    dvc_2(without_git, "sub/more", storage, {"x.txt": b"x\r\n"})
    assert call("data", "remote", storage).code == 0
    pulled = call("data", "pull")
    assert (pulled.code, pulled.err) == (0, "")
    assert "data.dvc, sub/more.dvc: 6 files fetched" in pulled.out
    assert content_of(without_git / "data") == TEXTS
    assert dvc_status(without_git) == {}
    state = state_of(read_tracked(Path("data.dvc")), {(without_git / "data/table.csv"): md5_of(TEXTS["table.csv"])})
    assert state.word == CLEAN
    (without_git / "data/table.csv").write_bytes(b"other")
    assert "1 changed: harness data track data, to save it" in call("data", "status").out
    assert call("data", "pull", "--force").code == 0
    forget(without_git, ".dvc/cache")
    shutil.rmtree(storage)
    assert call("data", "push").out == "data.dvc, sub/more.dvc: 6 files sent\n"
    forget(without_git, "data", ".dvc/cache")
    assert call("data", "pull").code == 0
    assert content_of(without_git / "data") == TEXTS


def test_pull_suggests_to_migrate_if_the_remote_has_only_the_layout_of_dvc_3(without_git: Path, call: Call) -> None:
    storage = without_git.parent / "storage"
    dvc_2(without_git, "data", storage / "files/md5", {"a": b"a"})
    call("data", "remote", storage)
    outcome = call("data", "pull")
    assert_reported(outcome, 5, "data.dvc has no hash: md5", "dvc cache migrate --dvc-files")


def test_pull_repairs_a_damaged_object_in_the_cache_of_dvc_2(without_git: Path, call: Call) -> None:
    storage = without_git.parent / "storage"
    dvc_2(without_git, "data", storage, TEXTS)
    call("data", "remote", storage)
    assert call("data", "pull").code == 0
    md5 = dos2unix_md5(without_git / "data/table.csv")
    cached = without_git / ".dvc/cache" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"damaged")
    forget(without_git, "data")
    assert call("data", "pull").code == 0
    assert content_of(without_git / "data") == TEXTS


def test_pull_uses_a_cache_in_another_place(stored: Path, call: Call) -> None:
    elsewhere = stored.parent / "cache elsewhere"
    with (stored / ".dvc/config.local").open("a") as file:
        file.write(f"[cache]\n    dir = {elsewhere}\n")
    forget(stored)
    assert call("data", "pull").code == 0
    assert content_of(stored / "data") == FILES
    assert len([path for path in elsewhere.rglob("*") if path.is_file()]) == 5
    assert not (stored / ".dvc/cache").exists()
    before = (stored / "data.dvc").read_bytes()
    (stored / "data/new").write_bytes(b"new")
    assert call("data", "track", "data").code == 0
    (stored / "data.dvc").write_bytes(before)
    state = state_of(read_tracked(Path("data.dvc")))
    assert (state.word, state.changes()) == (DIFFERS, {"changed": 0, "new": 1, "missing": 0})
    assert "the files here are another version, which DVC has" in state.fix


@pytest.mark.parametrize("level", ["GLOBAL", "SYSTEM"])
def test_default_remote_reads_the_configuration_of_user_and_system(
    stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    configured = stored.parent / "configured"
    text = '[core]\n    remote = mine\n[remote "mine"]\n    url = ../storage\n'
    write_files(configured, {"config": text.encode()})
    (stored / ".dvc/config").write_text("")
    assert default_remote() is None
    monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(configured))
    remote = default_remote()
    assert remote is not None
    assert remote.folder is not None
    assert remote.folder.samefile(stored.parent / "storage")
    forget(stored)
    assert call("data", "pull").code == 0
    assert content_of(stored / "data") == FILES
    (stored / ".dvc/config").write_text('[remote "mine"]\n    url = s3://bucket\n')
    assert default_remote().url == "s3://bucket"  # type: ignore[union-attr]


def test_pull_works_in_a_folder_of_the_project(stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(stored, {"sub/more/x": b"x"})
    monkeypatch.chdir(stored / "sub")
    remote = default_remote()
    assert remote is not None
    assert remote.folder == stored.parent / "storage"
    assert [call("data", *words).code for words in (("track", "more"), ("push", "more"))] == [0, 0]
    forget(stored, "sub/more", ".dvc/cache")
    assert call("data", "pull").code == 0
    assert (stored / "sub/more/x").read_bytes() == b"x"
