"""The scripts that a person and CI both run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file()), ROOT / ".ci/run"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash scripts are run by bash there too, but not found")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_and_may_be_run(path: Path) -> None:
    assert run("bash", "-n", path).returncode == 0
    assert os.access(path, os.X_OK)
    assert path.read_text().splitlines()[1].startswith("# ")


@pytest.mark.skipif(not Path(sys.prefix, ".installed").exists(), reason="scripts/setup did not make this environment")
def test_a_second_call_installs_nothing_and_runs_the_experiment(tmp_path: Path) -> None:
    log = Path(sys.prefix, "install.log")
    before = log.stat().st_mtime_ns
    done = run(ROOT / "scripts/setup", HARNESS_VENV=sys.prefix)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(ROOT / "scripts/run", "own_parts", "--dry-run", "-s", f"data={tmp_path}", HARNESS_VENV=sys.prefix)
    assert done.returncode == 4
    assert "has no classes" in done.stderr
    assert log.stat().st_mtime_ns == before


def test_without_a_python_that_is_new_enough_the_error_says_so(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "cat", "cksum"):
        program = next(Path(folder, tool) for folder in os.environ["PATH"].split(":") if Path(folder, tool).exists())
        (tmp_path / tool).symlink_to(program)
    done = run(
        tmp_path / "bash", ROOT / "scripts/setup", HARNESS_VENV=str(tmp_path / "venv"), PATH=str(tmp_path), PYTHON=""
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: Python 3.10 or newer was not found"
    assert len(done.stderr.splitlines()) == 3
