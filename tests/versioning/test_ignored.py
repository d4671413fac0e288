"""The files of a tracked folder that DVC tracks, compared with DVC."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DataError
from harness.versioning.ignored import kept_by_dvc, project_of
from harness.versioning.tracked import CLEAN, DIFFERS, read_tracked, state_of
from tests.conftest import track_by_dvc

FILES = (
    "sub/data/a.png",
    "sub/data/.DS_Store",
    "sub/data/sea/Thumbs.db",
    "sub/data/sea/b.png",
    "sub/data/raw/c.png",
    "sub/data/raw/keep.png",
    "sub/data/notes/d.txt",
    "sub/data/d.tmp",
)
RULES = {
    ".dvcignore": "# a comment\n\n.DS_Store\nThumbs.db\n/sub/data/notes/\nsub/data/raw/*\n!sub/data/raw/keep.png\n",
    "sub/.dvcignore": "*.tmp\n",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A DVC project whose rules leave out five of the eight files in `sub/data`."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name, rules in RULES.items():
        (tmp_path / name).write_text(rules)
    track_by_dvc(tmp_path, "sub/data")
    return tmp_path


def test_kept_by_dvc_leaves_out_the_files_of_dvcignore(home: Path) -> None:
    state = state_of(read_tracked(home / "sub/data.dvc"))
    assert set(state.files) == {"a.png", "sea/b.png", "raw/keep.png"}
    assert (state.word, state.tracked.listed()) == (CLEAN, state.files)
    (home / "sub/data/.DS_Store").write_text("a file manager was here")
    (home / "sub/data/new.tmp").write_text("")
    assert state_of(read_tracked(home / "sub/data.dvc")).word == CLEAN
    (home / ".dvcignore").unlink()
    assert state_of(read_tracked(home / "sub/data.dvc")).word == DIFFERS


@pytest.mark.parametrize(
    "rules",
    [
        "sub/data/raw/\n!sub/data/raw/keep.png\n",
        "sub/data/raw/**\n!sub/data/raw/keep.png\n",
        "raw\n!sub/data/raw/keep.png\n",
        "*/\n",
        "  *.tmp\n",
        "*.tmp\u2028x\n*.png\x0b\n",
        "*.png\r\n!a.png\r\n",
        "/a.png\ndata/a.png\n**/sea/*.png\n",
        "!*\n",
        "s?a\n[a-c].png\n\\#x\n",
    ],
)
def test_kept_by_dvc_reads_unusual_rules_like_dvc(tmp_path: Path, rules: str) -> None:
    for name in (*FILES, "sub/data/notes/.git"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dvcignore").write_text(rules, encoding="utf-8", newline="")
    track_by_dvc(tmp_path, "sub/data")
    state = state_of(read_tracked(tmp_path / "sub/data.dvc"))
    assert (state.word, state.files) == (CLEAN, state.tracked.listed())


@pytest.mark.parametrize("rules", [b"caf\xe9", b"!", b"[z-a].png"])
def test_kept_by_dvc_raises_if_rules_cannot_be_read(home: Path, rules: bytes) -> None:
    (home / ".dvcignore").write_bytes(rules)
    with pytest.raises(DataError, match="dvcignore cannot be read"):
        kept_by_dvc(home / "sub/data")


def test_kept_by_dvc_does_not_depend_on_the_current_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "sub")
    assert kept_by_dvc(Path("data")) == kept_by_dvc(home / "sub/data") == ["a.png", "raw/keep.png", "sea/b.png"]


def test_kept_by_dvc_ignores_rules_above_the_project(tmp_path: Path) -> None:
    (tmp_path / ".dvcignore").write_text("*.png\n")
    (tmp_path / "project/.dvc").mkdir(parents=True)
    (tmp_path / "project/data").mkdir()
    (tmp_path / "project/data/a.png").write_text("")
    assert project_of(tmp_path / "project/data") == tmp_path / "project"
    assert kept_by_dvc(tmp_path / "project/data") == ["a.png"]
