from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from harness.runs.pending_removals import PendingRemoval, add_removals, has_pending
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.util.addresses import address_id
from harness.util.locks import locked
from tests.conftest import Outcome
from tests.workflows.test_prune_runs import add

Call = Callable[..., Outcome]


def test_runs_shows_sizes(call: Call, project: Path) -> None:
    assert "no runs in runs yet" in call("runs").out
    good, poor = add(Path("runs"), 0.95), add(Path("runs"), 0.6, leaked=3)
    (poor.path / "checkpoints").mkdir()
    (poor.path / "checkpoints/fold1.pt").write_bytes(b"x" * 5_000_000)
    broken = project / "runs/tiny/torn"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    listed = json.loads(call("runs", "--sort", "size", "--json").out)
    assert listed["runs"][0]["run_dir"] == poor.path.as_posix()
    assert 5_000_000 <= listed["runs"][0]["bytes_by_kind"]["models"] < listed["bytes"] < 5_200_000
    header, *lines = call("runs", "--sort", "accuracy").out.splitlines()
    assert header.split()[:4] == ["folder", "kind", "status", "accuracy"]
    assert lines[0].split()[:4] == [good.path.as_posix(), "run", "finished", "95.0"]
    assert "models 5 MB" in lines[1]
    assert "LEAK: 3 of the 100 images" in lines[1]
    assert "unreadable" in lines[2]
    assert lines[-1].startswith("5 MB in 3 runs in runs")
    poor.update(models_removed="2026-01-01T00:00:00+00:00")
    assert "models removed" not in call("runs").out  # a later refit has made new models
    (poor.path / "checkpoints/fold1.pt").unlink()
    assert "models removed" in call("runs").out


def test_runs_prune_shows_asks_and_removes(call: Call, project: Path) -> None:
    best, worse = add(Path("runs"), 0.95), add(Path("runs"), 0.6)
    (worse.path / "notes.md").touch()
    running = add(Path("runs"), status=Status.RUNNING)
    assert call("runs", "prune").code == 2
    shown = call("runs", "prune", "--keep-best", "1", "--older-than", "0m", "--dry-run").out
    conditions, going = shown.splitlines()[:2]
    assert conditions == (
        "removing each run that is not the best of its experiment and images, and started more than 0 minutes ago"
    )
    assert going.startswith("to remove: 1 run (3 in total), which frees")
    refused = call("runs", "prune", "--keep-best", "1")
    assert refused.code == 2
    assert refused.error_lines[1] == "  why: there is no terminal to ask"
    assert call("runs", "remove", running.id, "--yes").error_lines[1] == "  why: it is running"
    assert worse.path.exists()
    outcome = call("runs", "prune", "--keep-best", "1", "--yes")
    assert outcome.code == 0
    assert f"stays: {worse.path}/notes.md  no run wrote it" in outcome.out
    assert [path.name for path in worse.path.iterdir()] == ["notes.md"]
    assert "nothing to remove (2 in total)" in call("runs", "prune", "--keep-best", "1", "--yes").out
    with locked(best.path / ".resuming"):
        late = call("runs", "remove", best.id, "--yes")
    assert (late.code, late.error_lines[1]) == (2, "  why: another process resumes it now")
    done = json.loads(call("runs", "remove", best.id, "--yes", "--json").out)
    assert done["removed"] == [best.path.as_posix()]
    assert {path.parent for path in Path("runs").glob("*/*/run.json")} == {running.path}
    assert RunFolder.open(running.path).status is Status.RUNNING


def test_sync_without_a_run_removes_pending_runs_from_mlflow(call: Call, project: Path) -> None:
    assert call("sync").error_lines[0] == "error: no run was named"
    add_removals([PendingRemoval("20260101-000000-abcd", "run", address_id("sqlite:///mlflow.db"))])
    assert has_pending()
    assert call("sync").code == 0
    assert not has_pending()  # there is no store, so the runs are in no store
