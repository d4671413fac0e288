"""scripts/_english/check.py checks the new lines of a git repository, and not the old lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts/_english"
IDIOMS = dict(
    line.split(" -> ", 1) for line in (FOLDER / "idioms.txt").read_text().splitlines() if not line.startswith("#")
)
IDIOM = next(iter(IDIOMS))  # taken from the list, so that no line of this file has one


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "-m", "Change")


def check(folder: Path, *base: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "check.py", *base]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose one commit has an idiom."""
    git(tmp_path, "init", "--initial-branch", "main")
    commit(tmp_path, page=f"Old: {IDIOM}.\n", other="A line.\n")
    return tmp_path


def test_check_names_the_line_and_the_better_words_of_an_idiom(project: Path) -> None:
    commit(project, page=f"Old: {IDIOM}.\nGood.\nNew: {IDIOM.upper()}.\n")
    done = check(project)
    assert done.returncode == 1
    assert "page.md:3: " in done.stderr
    assert IDIOMS[IDIOM] in done.stderr
    assert "page.md:1: " not in done.stderr


def test_check_accepts_an_old_line_with_an_idiom(project: Path) -> None:
    commit(project, page=f"Old: {IDIOM}.\nGood.\n")
    assert (check(project).returncode, check(project).stderr) == (0, "")


def test_check_reads_lines_that_are_not_committed(project: Path) -> None:
    commit(project, other="Another line.\n")
    (project / "other.md").write_text(f"Another line: {IDIOM}.\n")
    assert "other.md:1: " in check(project).stderr


def test_check_accepts_a_moved_line(project: Path) -> None:
    commit(project, page="Good.\n", other=f"A line.\n  Old: {IDIOM}.\n")
    assert check(project).returncode == 0


def test_check_compares_a_branch_with_the_commit_where_it_left_the_upstream(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", str(project), str(clone))
    git(clone, "switch", "--create", "topic")
    commit(clone, other=f"New: {IDIOM}.\n")
    commit(clone, more="Good.\n")
    assert check(clone).stderr.startswith("other.md:1: ")
    assert check(clone, "HEAD~1").returncode == 0


def test_check_ignores_parts_of_words_and_other_kinds_of_files(project: Path) -> None:
    commit(project, other=f"x{IDIOM}x, {IDIOM}_.\n")
    (project / "words.txt").write_text(IDIOM)
    commit(project)
    assert check(project, "HEAD~2").returncode == 0


def test_check_passes_without_an_earlier_commit_and_says_so(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for folder in (project, tmp_path_factory.mktemp("no-repository")):
        done = check(folder)
        assert done.returncode == 0
        assert "not checked" in done.stderr


def test_idioms_are_sorted_and_each_has_better_words() -> None:
    assert list(IDIOMS) == sorted(IDIOMS)
    assert all(IDIOMS.values())
