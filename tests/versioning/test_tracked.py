"""The state of tracked data, compared with DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.util.files import BLOCK, file_md5, folder_md5, md5_of
from harness.versioning import tracked
from harness.versioning.cache import cached_here
from harness.versioning.tracked import ABSENT, CLEAN, DIFFERS, read_tracked, state_of, tracked_files, tracking_file
from tests.conftest import track_by_dvc, write_files

FILES = {
    "sea/waves.txt": b"waves",
    "sea/more/deep.bin": bytes(range(256)),
    "sea-2/b.txt": b"",
    "sea.txt": b"a name that sorts between the folders",
    ".hidden/note": b"hidden",
    ".dot": b"dot",
    "Z.txt": b"capitals come first",
    "été 森.txt": "森".encode(),
    'a "quote".txt': b"\r\n",
}
EMPTY = "d751713988987e9331980363e24189ce.dir"  # the MD5 that DVC computes for an empty folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which DVC has tracked the folders `data` and `sub/déjà vu`, and the file `one.bin`."""
    home = tmp_path_factory.mktemp("tracked-by-dvc")
    write_files(home / "data", FILES)
    (home / "data" / ".git").mkdir()  # which DVC ignores
    (home / "data" / ".git" / "config").write_bytes(b"x")
    (home / "sub" / "déjà vu").mkdir(parents=True)
    (home / "sub" / "déjà vu" / "a.txt").write_bytes(b"a")
    (home / "one.bin").write_bytes(b"1" * (BLOCK + 1))
    track_by_dvc(home, "data", "one.bin", "sub/déjà vu")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


def test_state_of_a_folder_has_the_hash_of_dvc(template: Path) -> None:
    known = read_tracked(template / "data.dvc")
    files = {name: md5_of(content) for name, content in FILES.items()}
    assert folder_md5(files) == known.md5
    assert known.md5.endswith(".dir")
    assert known.files == len(FILES)
    assert known.listed() == files


def test_folder_md5_does_not_depend_on_the_order_of_files() -> None:
    files = {name: md5_of(content) for name, content in FILES.items()}
    assert folder_md5(dict(reversed(files.items()))) == folder_md5(files)
    assert folder_md5(files | {"sea.txt": "0" * 32}) != folder_md5(files)
    assert folder_md5({}) == EMPTY


def test_state_of_a_single_file_has_the_hash_of_dvc(template: Path) -> None:
    known = read_tracked(template / "one.bin.dvc")
    assert known.md5 == file_md5(template / "one.bin") == md5_of((template / "one.bin").read_bytes())
    assert known.files is None
    assert state_of(known).word == CLEAN


def test_state_of_is_clean_after_dvc_add(template: Path) -> None:
    for file in ("data.dvc", "one.bin.dvc", "sub/déjà vu.dvc"):
        state = state_of(read_tracked(template / file))
        assert (state.word, state.md5) == (CLEAN, state.tracked.md5), file
        assert state.changes() in ({"changed": 0, "new": 0, "missing": 0}, None)
    assert set(state_of(read_tracked(template / "data.dvc")).files) == set(FILES)


def test_changes_counts_changed_new_and_missing_files(home: Path) -> None:
    (home / "data/sea.txt").write_bytes(b"other")
    (home / "data/.dot").write_bytes(b"other")
    (home / "data/new.txt").write_bytes(b"new")
    shutil.rmtree(home / "data/sea")
    (home / "data/Z.txt").unlink()
    state = state_of(read_tracked(home / "data.dvc"))
    assert state.word == DIFFERS
    assert state.md5 != state.tracked.md5
    assert state.changes() == {"changed": 2, "new": 1, "missing": 3}


def test_state_of_differs_if_a_file_is_renamed(home: Path) -> None:
    (home / "data/sea.txt").rename(home / "data/lake.txt")
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.changes()) == (DIFFERS, {"changed": 0, "new": 1, "missing": 1})


def test_state_of_differs_if_a_single_file_is_changed(home: Path) -> None:
    (home / "one.bin").write_bytes(b"2")
    state = state_of(read_tracked(home / "one.bin.dvc"))
    assert (state.word, state.md5, state.files) == (DIFFERS, md5_of(b"2"), {"one.bin": md5_of(b"2")})


def test_state_of_is_absent_if_the_path_does_not_exist(home: Path) -> None:
    shutil.rmtree(home / "data")
    (home / "one.bin").unlink()
    for file in ("data.dvc", "one.bin.dvc"):
        state = state_of(read_tracked(home / file))
        assert (state.word, state.md5, state.files) == (ABSENT, None, {}), file


def test_state_of_differs_if_the_folder_is_empty(home: Path) -> None:
    shutil.rmtree(home / "data")
    (home / "data").mkdir()
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.md5) == (DIFFERS, EMPTY)


def test_state_of_is_clean_for_a_missing_folder_tracked_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "models.dvc"
    file.write_text(f"outs:\n- md5: {EMPTY}\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: models\n")
    assert state_of(read_tracked(file)).word == CLEAN
    (tmp_path / "models").mkdir()
    assert state_of(read_tracked(file)).word == CLEAN
    (tmp_path / "models/best.pt").write_bytes(b"x")
    assert state_of(read_tracked(file)).word == DIFFERS


def test_changes_is_none_without_a_list_in_the_cache(home: Path) -> None:
    shutil.rmtree(home / ".dvc/cache")
    (home / "data/sea.txt").write_bytes(b"other")
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.changes()) == (DIFFERS, None)


@pytest.mark.parametrize("content", [b"not json", b"{}", b"[1]", b'[{"md5": "0"}]', b"\xff"])
def test_listed_is_none_for_a_damaged_list_in_the_cache(home: Path, content: bytes) -> None:
    known = read_tracked(home / "data.dvc")
    listing = cached_here(known, known.md5)
    assert listing is not None
    listing.chmod(0o644)
    listing.write_bytes(content)
    assert not known.listed()
    assert state_of(known).word == CLEAN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"outs: []\n",
        b"outs:\n- path: data\n",
        b"outs:\n- md5: 0123.dir\n",
        b"<<<<<<< HEAD\n",
        b"\xff\xfe\x00",
    ],
)
def test_read_tracked_raises_for_a_damaged_dvc_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.dvc").write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        read_tracked(tmp_path / "data.dvc")
    assert "data.dvc" in caught.value.what
    assert "git checkout" in caught.value.fix


def test_read_tracked_raises_for_an_invalid_number_of_files(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {EMPTY}\n  nfiles: many\n  path: data\n")
    with pytest.raises(DataError, match=r"outs\.0\.nfiles is 'many'"):
        read_tracked(tmp_path / "data.dvc")


def test_read_tracked_reads_quoted_yaml_values(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: '{EMPTY}'\n  path: \"data\"\n")
    known = read_tracked(tmp_path / "data.dvc")
    assert (known.md5, known.path) == (EMPTY, tmp_path / "data")


def test_read_tracked_reads_only_outs_and_wdir_of_a_stage(tmp_path: Path) -> None:
    text = "wdir: sub\ndeps:\n- md5: 9.dir\n  path: raw\nmeta:\n  path: x\n"
    text += f"outs:\n- {{path: data, md5: {EMPTY}}}\n"
    (tmp_path / "data.dvc").write_text(text)
    known = read_tracked(tmp_path / "data.dvc")
    assert (known.md5, known.path) == (EMPTY, tmp_path / "sub/data")


@pytest.mark.parametrize("outs", ["[]", f"[{{md5: {EMPTY}, path: a}}, {{md5: {EMPTY}, path: b}}]"])
def test_read_tracked_raises_unless_there_is_one_path(tmp_path: Path, outs: str) -> None:
    (tmp_path / "data.dvc").write_text(f"outs: {outs}\n")
    with pytest.raises(DataError, match="it must track exactly one path"):
        read_tracked(tmp_path / "data.dvc")


def test_fix_depends_on_what_would_be_lost(home: Path) -> None:
    known = read_tracked(home / "data.dvc")
    path = home / "data"
    assert state_of(known).fix == ""
    (path / "new.txt").write_bytes(b"new")
    unknown = state_of(known)
    keep = f"harness data track {path}, to save it as a new version; or harness data pull --force {path}, to discard it"
    assert unknown.fix == keep
    assert unknown.md5 is not None
    listing = cached_here(known, unknown.md5)
    assert listing is not None
    listing.parent.mkdir(exist_ok=True)
    listing.write_bytes(b"[]")  # as after dvc add
    back = f"harness data pull {path} (the files here are another version, which DVC has)"
    assert state_of(known).fix == back
    shutil.rmtree(path)
    assert state_of(known).fix == f"harness data ready {path}"
    path.mkdir()
    assert state_of(known).fix == f"harness data pull {path}"  # there are no changes to save


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_state_of_raises_for_a_pipe(home: Path) -> None:
    os.mkfifo(home / "data/pipe")
    with pytest.raises(DataError, match="pipe is not a file"):
        state_of(read_tracked(home / "data.dvc"))


def test_state_of_does_not_follow_a_link_to_a_folder_above(home: Path) -> None:
    for name in ("one", "two"):
        (home / "data" / name).symlink_to(".")
        (home / "data/sea" / name).symlink_to("..")
    assert state_of(read_tracked(home / "data.dvc")).word == CLEAN


def test_state_of_does_not_read_files_with_a_known_hash(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.name)
        return file_md5(path)

    monkeypatch.setattr(tracked, "file_md5", noted)
    known = {(home / "data" / name).absolute(): md5_of(FILES[name]) for name in FILES if name != "sea.txt"}
    assert state_of(read_tracked(home / "data.dvc"), known).word == CLEAN
    assert read == ["sea.txt"]


def test_state_of_uses_known_hashes_for_relative_paths(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(tracked, "file_md5", lambda path: pytest.fail(f"{path} was read"))
    known = {(home / "data" / name).absolute(): md5_of(content) for name, content in FILES.items()}
    assert state_of(read_tracked(Path("data.dvc")), known).word == CLEAN


def test_state_of_raises_if_a_file_cannot_be_read(home: Path) -> None:
    (home / "data/gone.txt").symlink_to(home / "nowhere")
    with pytest.raises(DataError, match=r"gone\.txt cannot be read"):
        state_of(read_tracked(home / "data.dvc"))


def test_tracking_file_finds_the_nearest_tracked_folder_above(home: Path) -> None:
    assert tracking_file(home / "data") == home / "data.dvc"
    assert tracking_file(home / "data/sea/more") == home / "data.dvc"
    assert tracking_file(home / "one.bin") == home / "one.bin.dvc"
    assert tracking_file(home / "sub/déjà vu/a.txt") == home / "sub/déjà vu.dvc"
    assert tracking_file(home / "elsewhere") is None
    assert tracking_file(home) is None
    (home / "data/sea.dvc").write_text("")
    assert tracking_file(home / "data/sea/more") == home / "data/sea.dvc"


def test_tracking_file_ignores_the_folder_of_dvc(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert (home / ".dvc").is_dir()
    assert tracked_files() == [Path("data.dvc"), Path("one.bin.dvc"), Path("sub/déjà vu.dvc")]
    for ignored in ("data/x.dvc", ".hidden/x.dvc", "env/x.dvc", "env/pyvenv.cfg"):
        write_files(home, {ignored: b"x"})
    assert len(tracked_files()) == 3
    shutil.rmtree(home / "sub")
    (home / "data/x.dvc").unlink()
    for path in home.glob("*.dvc"):
        if path.is_file():
            path.unlink()
    with pytest.raises(UsageError, match="nothing is tracked here"):
        tracked_files()


def test_tracked_files_accepts_all_forms_of_a_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for typed in ("data", "data/", "data.dvc"):
        assert tracked_files([typed]) == [Path("data.dvc")], typed
    with pytest.raises(UsageError, match="nothing is not tracked"):
        tracked_files(["data", "nothing"])


def test_state_of_does_not_import_dvc() -> None:
    code = "import sys, harness.runs.provenance; sys.exit('dvc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
