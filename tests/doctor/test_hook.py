"""The git hook, tested with real commits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.doctor.hook import MARK, hook_file, install_hook, is_ours
from harness.errors import UsageError
from tests.conftest import Outcome

ROOT = Path(__file__).parents[2]
SECRET = "ghp_" + "a1B2" * 9


HOOK_OF_0_1_0 = """#!/bin/sh
# Refuses a commit that holds a key or token: harness doctor --staged
python="/nowhere/python"
if [ ! -x "$python" ]; then
    echo "error: this commit cannot be searched for keys and tokens" >&2
    echo "  why: the environment is gone that the hook was installed from" >&2
    echo "  try: harness doctor --install-hook, from another one" >&2
    exit 1
fi
exec "$python" -m harness doctor --staged
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository, as the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    assert git("init", "-q").returncode == 0
    return tmp_path


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_hook_refuses_a_commit_with_a_key_and_accepts_a_clean_one(
    repository: Path, call: Callable[..., Outcome]
) -> None:
    outcome = call("doctor", "--install-hook")
    assert outcome.code == 0
    assert "the hook refuses commits that contain a key or a token" in outcome.out
    (repository / "key.txt").write_text(f"\n{SECRET}\n")
    git("add", "-A")
    refused = git("commit", "-m", "x")
    assert refused.returncode != 0
    assert "this commit is refused: it contains a secret" in refused.stderr
    assert "GitHub Token in key.txt, line 2" in refused.stderr
    assert "git rm --cached key.txt" in refused.stderr
    assert SECRET not in refused.stdout + refused.stderr
    assert git("rev-parse", "HEAD").returncode != 0
    git("rm", "-q", "--cached", "key.txt")
    (repository / "clean.txt").write_text("clean")
    git("add", "clean.txt")
    passed = git("commit", "-m", "x")
    assert passed.returncode == 0, passed.stderr
    assert git("ls-tree", "--name-only", "HEAD").stdout.split() == ["clean.txt"]


def test_hook_searches_a_commit_of_named_files_from_a_subfolder(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/a.txt").write_text("a")
    git("add", "-A")
    git("commit", "-qm", "x")
    install_hook()
    (repository / "deep/a.txt").write_text(SECRET)
    monkeypatch.chdir(repository / "deep")
    refused = git("commit", "-m", "x", "a.txt")
    assert refused.returncode != 0
    assert "GitHub Token in deep/a.txt, line 1" in refused.stderr


def test_install_hook_writes_an_executable_file_with_this_python(repository: Path) -> None:
    path = install_hook()
    assert path == Path(".git/hooks/pre-commit")
    assert os.access(path, os.X_OK)
    assert sys.executable in path.read_text()
    assert is_ours(path)


def test_hook_names_all_files_with_a_secret(repository: Path) -> None:
    install_hook()
    for name in ("b.txt", "a.txt"):
        (repository / name).write_text(SECRET)
    git("add", "-A")
    refused = git("commit", "-m", "x")
    assert refused.returncode != 0
    assert "try: git rm --cached a.txt b.txt, and keep" in refused.stderr


def test_hook_refuses_all_commits_if_its_python_was_removed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as gone:
        gone.setattr(sys, "executable", str(repository / "gone/python"))
        install_hook()
    (repository / "clean.txt").write_text("clean")
    git("add", "clean.txt")
    refused = git("commit", "-m", "x")
    assert refused.returncode != 0
    assert [line[:7] for line in refused.stderr.splitlines()] == ["error: ", "  why: ", "  try: "]
    assert "harness doctor --install-hook" in refused.stderr


def test_install_hook_repairs_an_installed_hook(repository: Path) -> None:
    path = install_hook()
    path.write_text(path.read_text().replace(sys.executable, "/nowhere/python"))
    path.chmod(0o644)
    assert install_hook() == path
    assert os.access(path, os.X_OK)
    assert "/nowhere" not in path.read_text()


def test_install_hook_replaces_the_hook_of_0_1_0(repository: Path) -> None:
    path = repository / ".git/hooks/pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HOOK_OF_0_1_0)
    install_hook()
    assert sys.executable in path.read_text()
    path.write_text(f"{HOOK_OF_0_1_0}\nmake lint\n")
    with pytest.raises(UsageError, match="exists already"):
        install_hook()


def test_install_hook_keeps_another_hook_and_says_what_to_add(repository: Path, call: Callable[..., Outcome]) -> None:
    path = repository / ".git/hooks/pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nmake lint\n")
    outcome = call("doctor", "--install-hook")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert f"-m {MARK}" in outcome.err
    assert path.read_text() == "#!/bin/sh\nmake lint\n"
    assert not is_ours(path)
    path.write_text(f"#!/bin/sh\nmake lint\npython3 -m {MARK} || exit 1\n")
    assert is_ours(path)


def test_install_hook_writes_to_the_hooks_path_of_git(repository: Path) -> None:
    (repository / "deep").mkdir()
    git("config", "core.hooksPath", str(repository / "hooks"))
    assert hook_file(repository / "deep") == repository / "hooks/pre-commit"
    assert install_hook() == repository / "hooks/pre-commit"
    assert (repository / "hooks/pre-commit").is_file()


def test_install_hook_raises_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert hook_file(tmp_path) is None
    with pytest.raises(UsageError, match="this is not a git repository"):
        install_hook(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hook_file(tmp_path) is None
    assert not is_ours(tmp_path / "pre-commit")
