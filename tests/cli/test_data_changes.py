"""`harness data apply` and `harness data undo` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import write_files
from tests.fixes import SIX, checked, contents, table_of
from tests.versioning.conftest import Call, assert_reported

ACTIONS = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with six files in `my data`, and a table of fixes."""
    write_files(tmp_path / "my data", SIX)
    monkeypatch.chdir(tmp_path)
    table_of(tmp_path / "fixes.csv", ACTIONS, checked("my data"), "my data")
    return tmp_path


def test_apply_prints_the_changes_and_the_undo_command(home: Path, call: Call) -> None:
    outcome = call("data", "apply", "fixes.csv", "--dry-run")
    moves = ["  forest/1.jpg -> my data/sea/1-2.jpg", "  forest/2.jpg: removed"]
    counts = "1 moved to another class, 1 removed, 4 kept"
    assert outcome.out.splitlines() == [*moves, f"{counts} (dry run: nothing was changed)"]
    assert contents(home / "my data") == SIX
    outcome = call("data", "apply", "fixes.csv")
    assert outcome.code == 0
    (folder,) = (path for path in (home / "my data-changes").iterdir() if path.name[0] != ".")
    assert outcome.out.splitlines() == [
        *moves,
        counts,
        f"removed images: my data-changes/{folder.name}/removed",
        f"undo: harness data undo 'my data-changes/{folder.name}'",
        "next: harness data check 'my data'   checks again",
    ]
    assert outcome.err == "note: renamed, because another file has that name: forest/1.jpg as 1-2.jpg\n"
    outcome = call("data", "undo", f"my data-changes/{folder.name}")
    assert outcome.out.splitlines()[-1] == f"my data-changes/{folder.name}: 2 images moved back"
    assert (outcome.code, outcome.err) == (0, "")
    assert contents(home / "my data") == SIX


def test_apply_and_undo_in_json(home: Path, call: Call) -> None:
    applied = json.loads(call("data", "apply", "fixes.csv", "--json").out)
    sea = str(home / "my data/sea/1-2.jpg")
    assert applied["changed"] == [
        {"file": "forest/1.jpg", "side": "train", "from": "forest", "to": "sea", "path": sea},
        {"file": "forest/2.jpg", "side": "train", "from": "forest", "to": None, "path": None},
    ]
    assert (applied["kept"], applied["dvc"], applied["dry_run"]) == (4, [], False)
    (folder,) = applied["changes"]
    undone = json.loads(call("data", "undo", "--json").out)
    assert undone["changes"] == folder
    assert len(undone["moved_back"]) == 2
    assert contents(home / "my data") == SIX


def test_apply_shows_the_first_of_many(home: Path, call: Call) -> None:
    write_files(home / "my data", {f"sea/many {number:02d}.jpg": b"%d" % number for number in range(30)})
    actions = {f"sea/many {number:02d}.jpg": "remove" for number in range(30)}
    table_of(home / "fixes.csv", actions, checked("my data"), "my data")
    lines = call("data", "apply", "fixes.csv").out.splitlines()
    assert lines[9:12] == [
        "  sea/many 09.jpg: removed",
        "  and 20 more",
        "0 moved to another class, 30 removed, 6 kept",
    ]


def test_apply_with_nothing_to_do(home: Path, call: Call) -> None:
    table_of(home / "fixes.csv", {}, checked("my data"), "my data")
    outcome = call("data", "apply", "fixes.csv")
    assert outcome.out == "fixes.csv: nothing to do: the action of all 6 rows is keep\n"
    assert outcome.code == 0
    assert not (home / "my data-changes").exists()


def test_undo_names_files_that_are_gone(home: Path, call: Call) -> None:
    call("data", "apply", "fixes.csv")
    (home / "my data/sea/1-2.jpg").unlink()
    outcome = call("data", "undo")
    assert outcome.err == "warning: missing, so not moved back: my data/sea/1-2.jpg\n"
    assert outcome.out.splitlines()[-1].endswith(": 1 image moved back")
    assert outcome.code == 0


def test_apply_and_undo_report_errors_in_three_lines(home: Path, call: Call) -> None:
    assert_reported(call("data", "apply", "none.csv"), 2, "none.csv does not exist")
    assert_reported(call("data", "apply", "my data"), 2, "is not a table of fixes")
    assert_reported(call("data", "undo"), 2, "nothing to undo")
    assert_reported(call("data", "undo", "my data"), 2, "nothing to undo in my data")
    assert_reported(call("data", "undo", "none"), 2, "nothing to undo in none")
    (home / "my data/forest/1.jpg").unlink()
    assert_reported(call("data", "apply", "fixes.csv"), 4, "one row of fixes.csv cannot be applied", "line 2: ")


def test_apply_escapes_control_characters_in_names(home: Path, call: Call) -> None:
    write_files(home / "my data", {"sea/\x1b[2J\n9.jpg": b"9"})
    table_of(home / "fixes.csv", {}, checked("my data"), "my data")
    text = (home / "fixes.csv").read_bytes().replace(b"keep", b"remove", 7).decode("utf-8-sig")
    lines = [
        line if "2J" in line or line.startswith("file") else line.replace("remove", "keep")
        for line in text.splitlines()
    ]
    (home / "fixes.csv").write_text("\n".join(lines))
    outcome = call("data", "apply", "fixes.csv")
    assert "\x1b" not in outcome.out + outcome.err
    assert outcome.out.splitlines()[0] == "  sea/\\x1b[2J\\x0a9.jpg: removed"
    assert call("data", "undo").code == 0
    assert (home / "my data/sea/\x1b[2J\n9.jpg").exists()
