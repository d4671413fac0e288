"""What lies at a tracked path, against what DVC itself says of it."""

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
EMPTY = "d751713988987e9331980363e24189ce.dir"  # that DVC gives to a folder without files


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which DVC itself has tracked the folders `data` and `sub/déjà vu`, and the file `one.bin`."""
    home = tmp_path_factory.mktemp("tracked-by-dvc")
    write_files(home / "data", FILES)
    (home / "data" / ".git").mkdir()  # which DVC passes over
    (home / "data" / ".git" / "config").write_bytes(b"x")
    (home / "sub" / "déjà vu").mkdir(parents=True)
    (home / "sub" / "déjà vu" / "a.txt").write_bytes(b"a")
    (home / "one.bin").write_bytes(b"1" * (BLOCK + 1))
    track_by_dvc(home, "data", "one.bin", "sub/déjà vu")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


def test_the_hash_of_a_folder_is_the_one_that_dvc_gives(template: Path) -> None:
    known = read_tracked(template / "data.dvc")
    files = {name: md5_of(content) for name, content in FILES.items()}
    assert folder_md5(files) == known.md5
    assert known.md5.endswith(".dir")
    assert known.files == len(FILES)
    assert known.listed() == files


def test_the_hash_of_a_folder_does_not_depend_on_the_order_in_which_its_files_are_given() -> None:
    files = {name: md5_of(content) for name, content in FILES.items()}
    assert folder_md5(dict(reversed(files.items()))) == folder_md5(files)
    assert folder_md5(files | {"sea.txt": "0" * 32}) != folder_md5(files)
    assert folder_md5({}) == EMPTY


def test_the_hash_of_a_single_file_is_the_one_that_dvc_gives(template: Path) -> None:
    known = read_tracked(template / "one.bin.dvc")
    assert known.md5 == file_md5(template / "one.bin") == md5_of((template / "one.bin").read_bytes())
    assert known.files is None
    assert state_of(known).word == CLEAN


def test_what_dvc_has_just_tracked_is_clean(template: Path) -> None:
    for file in ("data.dvc", "one.bin.dvc", "sub/déjà vu.dvc"):
        state = state_of(read_tracked(template / file))
        assert (state.word, state.md5) == (CLEAN, state.tracked.md5), file
        assert state.changes() in ({"changed": 0, "new": 0, "missing": 0}, None)
    assert set(state_of(read_tracked(template / "data.dvc")).files) == set(FILES)


def test_which_files_are_changed_new_and_missing(home: Path) -> None:
    (home / "data/sea.txt").write_bytes(b"other")
    (home / "data/.dot").write_bytes(b"other")
    (home / "data/new.txt").write_bytes(b"new")
    shutil.rmtree(home / "data/sea")
    (home / "data/Z.txt").unlink()
    state = state_of(read_tracked(home / "data.dvc"))
    assert state.word == DIFFERS
    assert state.md5 != state.tracked.md5
    assert state.changes() == {"changed": 2, "new": 1, "missing": 3}


def test_a_file_that_only_has_another_name_differs(home: Path) -> None:
    (home / "data/sea.txt").rename(home / "data/lake.txt")
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.changes()) == (DIFFERS, {"changed": 0, "new": 1, "missing": 1})


def test_a_single_file_that_was_changed_differs(home: Path) -> None:
    (home / "one.bin").write_bytes(b"2")
    state = state_of(read_tracked(home / "one.bin.dvc"))
    assert (state.word, state.md5, state.files) == (DIFFERS, md5_of(b"2"), {"one.bin": md5_of(b"2")})


def test_what_is_not_there_is_absent(home: Path) -> None:
    shutil.rmtree(home / "data")
    (home / "one.bin").unlink()
    for file in ("data.dvc", "one.bin.dvc"):
        state = state_of(read_tracked(home / file))
        assert (state.word, state.md5, state.files) == (ABSENT, None, {}), file


def test_an_empty_folder_is_not_what_a_full_one_stood_for(home: Path) -> None:
    shutil.rmtree(home / "data")
    (home / "data").mkdir()
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.md5) == (DIFFERS, EMPTY)


def test_a_folder_that_is_tracked_as_empty_is_clean_whether_it_is_there_or_not(tmp_path: Path) -> None:
    file = tmp_path / "models.dvc"
    file.write_text(f"outs:\n- md5: {EMPTY}\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: models\n")
    assert state_of(read_tracked(file)).word == CLEAN
    (tmp_path / "models").mkdir()
    assert state_of(read_tracked(file)).word == CLEAN
    (tmp_path / "models/best.pt").write_bytes(b"x")
    assert state_of(read_tracked(file)).word == DIFFERS


def test_where_the_cache_does_not_list_the_files_nobody_says_which_changed(home: Path) -> None:
    shutil.rmtree(home / ".dvc/cache")
    (home / "data/sea.txt").write_bytes(b"other")
    state = state_of(read_tracked(home / "data.dvc"))
    assert (state.word, state.changes()) == (DIFFERS, None)


@pytest.mark.parametrize("content", [b"not json", b"{}", b"[1]", b'[{"md5": "0"}]', b"\xff"])
def test_a_damaged_list_in_the_cache_is_no_list(home: Path, content: bytes) -> None:
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
def test_a_damaged_dvc_file_is_told_in_three_lines(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.dvc").write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        read_tracked(tmp_path / "data.dvc")
    assert "data.dvc" in caught.value.what
    assert "git checkout" in caught.value.fix


def test_a_number_of_files_that_is_none_is_damage(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {EMPTY}\n  nfiles: many\n  path: data\n")
    with pytest.raises(DataError, match=r"outs\.0\.nfiles is 'many'"):
        read_tracked(tmp_path / "data.dvc")


def test_quotes_in_a_dvc_file_belong_to_yaml_and_not_to_the_value(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: '{EMPTY}'\n  path: \"data\"\n")
    known = read_tracked(tmp_path / "data.dvc")
    assert (known.md5, known.path) == (EMPTY, tmp_path / "data")


def test_only_what_a_stage_puts_out_counts_and_where_it_works(tmp_path: Path) -> None:
    text = "wdir: sub\ndeps:\n- md5: 9.dir\n  path: raw\nmeta:\n  path: x\n"
    text += f"outs:\n- {{path: data, md5: {EMPTY}}}\n"
    (tmp_path / "data.dvc").write_text(text)
    known = read_tracked(tmp_path / "data.dvc")
    assert (known.md5, known.path) == (EMPTY, tmp_path / "sub/data")


@pytest.mark.parametrize("outs", ["[]", f"[{{md5: {EMPTY}, path: a}}, {{md5: {EMPTY}, path: b}}]"])
def test_a_dvc_file_stands_for_one_thing(tmp_path: Path, outs: str) -> None:
    (tmp_path / "data.dvc").write_text(f"outs: {outs}\n")
    with pytest.raises(DataError, match="stands for several things, or none"):
        read_tracked(tmp_path / "data.dvc")


def test_what_to_type_depends_on_what_would_be_lost(home: Path) -> None:
    known = read_tracked(home / "data.dvc")
    path = home / "data"
    assert state_of(known).fix == ""
    (path / "new.txt").write_bytes(b"new")
    unknown = state_of(known)
    keep = f"harness data track {path} keeps it as a new version; harness data pull --force {path} gives it up"
    assert unknown.fix == keep
    assert unknown.md5 is not None
    listing = cached_here(known, unknown.md5)
    assert listing is not None
    listing.parent.mkdir(exist_ok=True)
    listing.write_bytes(b"[]")  # as if DVC had tracked it
    back = f"harness data pull {path} (what is here is another version, which DVC has)"
    assert state_of(known).fix == back
    shutil.rmtree(path)
    assert state_of(known).fix == f"harness data ready {path}"
    path.mkdir()
    assert state_of(known).fix == f"harness data pull {path}"  # there is nothing to keep


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_what_can_never_be_read_to_its_end_is_told(home: Path) -> None:
    os.mkfifo(home / "data/pipe")
    with pytest.raises(DataError, match="pipe is no file"):
        state_of(read_tracked(home / "data.dvc"))


def test_links_to_a_folder_that_they_lie_in_are_not_followed(home: Path) -> None:
    for name in ("one", "two"):
        (home / "data" / name).symlink_to(".")
        (home / "data/sea" / name).symlink_to("..")
    assert state_of(read_tracked(home / "data.dvc")).word == CLEAN


def test_files_whose_hash_is_known_are_not_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.name)
        return file_md5(path)

    monkeypatch.setattr(tracked, "file_md5", noted)
    known = {(home / "data" / name).absolute(): md5_of(FILES[name]) for name in FILES if name != "sea.txt"}
    assert state_of(read_tracked(home / "data.dvc"), known).word == CLEAN
    assert read == ["sea.txt"]


def test_a_known_hash_counts_also_where_the_path_is_given_from_here(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(tracked, "file_md5", lambda path: pytest.fail(f"{path} was read"))
    known = {(home / "data" / name).absolute(): md5_of(content) for name, content in FILES.items()}
    assert state_of(read_tracked(Path("data.dvc")), known).word == CLEAN


def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    (home / "data/gone.txt").symlink_to(home / "nowhere")
    with pytest.raises(DataError, match=r"gone\.txt cannot be read"):
        state_of(read_tracked(home / "data.dvc"))


def test_the_tracking_file_of_a_folder_is_that_of_the_next_tracked_folder_above_it(home: Path) -> None:
    assert tracking_file(home / "data") == home / "data.dvc"
    assert tracking_file(home / "data/sea/more") == home / "data.dvc"
    assert tracking_file(home / "one.bin") == home / "one.bin.dvc"
    assert tracking_file(home / "sub/déjà vu/a.txt") == home / "sub/déjà vu.dvc"
    assert tracking_file(home / "elsewhere") is None
    assert tracking_file(home) is None
    (home / "data/sea.dvc").write_text("")
    assert tracking_file(home / "data/sea/more") == home / "data/sea.dvc"


def test_the_folder_of_dvc_tracks_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_tracked_path_is_found_however_it_is_typed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for typed in ("data", "data/", "data.dvc"):
        assert tracked_files([typed]) == [Path("data.dvc")], typed
    with pytest.raises(UsageError, match="nothing is not tracked"):
        tracked_files(["data", "nothing"])


def test_the_state_is_told_without_importing_dvc() -> None:
    code = "import sys, harness.runs.provenance; sys.exit('dvc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
