"""Four processes work on one study in a real PostgreSQL, which the test starts."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.tuning.study import Study
from tests.conftest import write_experiment

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database. PostgreSQL does not run as root, so a root user runs it as `postgres`."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e .[postgresql]")
    programs = [Path(initdb).parent for initdb in [shutil.which("initdb")] if initdb]
    programs += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not programs or not (programs[0] / "postgres").exists():
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    user = None
    if as_root:
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
    home = Path(shutil.copytree(tmp_path, Path("/tmp") / f"harness-postgres-{os.getpid()}"))
    try:
        if user:
            shutil.chown(home, user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = home / "data"
        make = [str(programs[0] / "initdb"), "-D", str(data), "-U", "harness", "--auth=trust", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, user=user, cwd=home)
        options = f"-p {port} -h 127.0.0.1 -k {home} -c fsync=off"
        control = [str(programs[0] / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log")]
        subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, user=user, cwd=home)
        try:
            yield f"postgresql://harness:secret@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, user=user, cwd=home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_four_processes_share_a_study_like_four_machines(database: str, scenery: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HARNESS_STORAGE": database, "OMP_NUM_THREADS": "1"}
    processes = []
    for number in range(4):  # each in a separate folder, like machines, with the same experiment and images
        project = tmp_path / f"machine{number}"
        (project / "experiments").mkdir(parents=True)
        write_experiment(project / "experiments/tiny.py", scenery, folds=3)
        command = [sys.executable, "-m", "harness", "search", "tiny", "--trials", "24"]
        with (project / "log").open("w") as log:
            processes.append(
                subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
    codes = [process.wait(timeout=300) for process in processes]
    logs = [(tmp_path / f"machine{number}/log").read_text() for number in range(4)]
    assert codes == [0] * 4, logs
    study = Study(database, "tiny", ["maximize"], 0)
    trials = study.trials()
    study.close()
    assert sorted(trial.index for trial in trials) == [*range(24)]  # each exactly once
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    by_process = Counter(trial.attributes["owner"]["pid"] for trial in trials)
    assert set(by_process) == {process.pid for process in processes}
    parameters = [tuple(trial.optuna_trial.params.items()) for trial in trials if trial.index]
    assert len(set(parameters)) == len(parameters)  # no parameters were tried twice
    assert not any("secret" in log for log in logs)
    written = [path.read_text() for path in tmp_path.glob("machine*/runs/**/*.json")]
    assert written
    assert not any("secret" in text for text in written)
