"""scripts/_english/check.py: which texts it checks, and what it says about an idiom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts/_english"
IDIOMS = dict(
    line.split(" -> ", 1) for line in (FOLDER / "idioms.txt").read_text().splitlines() if not line.startswith("#")
)
IDIOM = next(idiom for idiom in IDIOMS if " " in idiom)  # taken from the list, so that no line of this file has one


def check(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "check.py", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository with one page, which has no idiom."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "page.md").write_text("A line.\n")
    subprocess.run(["git", "-C", tmp_path, "add", "page.md"], check=True)
    return tmp_path


def test_check_names_the_place_of_an_idiom_and_better_words(project: Path) -> None:
    (project / "page.md").write_text(f"A line.\nAnother: {IDIOM.upper()}.\n")
    done = check(project)
    assert done.returncode == 1
    assert done.stderr.startswith(f'page.md:2: not "{IDIOM}", but {IDIOMS[IDIOM]}\n')


def test_check_passes_without_idioms(project: Path) -> None:
    assert (check(project).returncode, check(project).stderr) == (0, "")


def test_check_finds_an_idiom_that_a_line_break_splits(project: Path) -> None:
    first, rest = IDIOM.split(" ", 1)
    (project / "code.py").write_text(f"x = 1\n# It is {first}\n# {rest}.\n")
    assert check(project).stderr.startswith("code.py:2: ")


def test_check_reads_new_files_scripts_and_templates_but_not_ignored_files(project: Path) -> None:
    (project / "scripts").mkdir()
    for name in ("scripts/run", "page.html", "words.txt", "ignored.md"):
        (project / name).write_text(IDIOM)
    (project / ".gitignore").write_text("ignored.md\n")
    places = {line.split(":")[0] for line in check(project).stderr.splitlines()[:-1]}
    assert places == {str(Path("scripts/run")), "page.html"}


def test_check_takes_files(project: Path) -> None:
    (project / "other.md").write_text(IDIOM)
    assert check(project, "page.md").returncode == 0
    assert check(project, "other.md").returncode == 1


def test_check_ignores_parts_of_words(project: Path) -> None:
    (project / "page.md").write_text(f"x{IDIOM}x, {IDIOM}_, -{IDIOM}.\n")
    assert check(project).returncode == 0


def test_check_reads_odd_files(project: Path) -> None:
    (project / "binary.md").write_bytes(bytes(range(256)))
    (project / "deleted.md").write_text(IDIOM)
    subprocess.run(["git", "-C", project, "add", "."], check=True)
    (project / "deleted.md").unlink()
    (project / "folder.md").mkdir()
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(project) + b"/odd\xff.md")).write_text(IDIOM)
        assert check(project).stderr.startswith(f'odd\\udcff.md:1: not "{IDIOM}"')
    else:
        assert (check(project).returncode, check(project).stderr) == (0, "")


def test_check_names_a_file_once_after_a_merge_conflict(project: Path) -> None:
    command = ["git", "-C", project, "hash-object", "-w", "page.md"]
    blob = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    stages = "".join(f"100644 {blob} {stage}\tpage.md\n" for stage in (1, 2, 3))
    stages = f"0 {'0' * 40}\tpage.md\n{stages}"
    subprocess.run(["git", "-C", project, "update-index", "--index-info"], input=stages, text=True, check=True)
    (project / "page.md").write_text(IDIOM)
    assert check(project).stderr.count(f'not "{IDIOM}"') == 1


def test_check_says_what_it_cannot_read(project: Path) -> None:
    done = check(project, "missing.md", "page.md")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "missing.md: cannot be read: No such file or directory",
    )
    assert check(project, str(project)).stderr.startswith(f"{project}: cannot be read: ")


def test_check_says_that_a_folder_is_no_repository(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("fatal: not a git repository")
    assert done.stderr.count("\n") == 1


def test_the_list_is_sorted_and_each_idiom_has_better_words() -> None:
    assert list(IDIOMS) == sorted(IDIOMS)
    assert all(IDIOMS.values())


def test_the_project_has_no_idioms() -> None:
    done = check(FOLDER.parents[1])
    assert (done.returncode, done.stderr) == (0, "")
