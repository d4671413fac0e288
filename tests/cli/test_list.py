from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Outcome

Call = Callable[..., Outcome]


def test_experiments_and_runs_are_shown_newest_first(call: Call, project: Path) -> None:
    (project / "experiments/broken.py").write_text("x = \n")
    assert "no runs in runs yet" in call("list").out
    for epochs in (1, 2):
        assert call("run", "tiny", "-s", f"epochs={epochs}").code == 0
    (project / "runs/tiny/torn").mkdir()
    (project / "runs/tiny/torn/run.json").write_text('{"status": ')
    outcome = call("list")
    assert outcome.code == 0
    assert "experiments/tiny.py" in outcome.out
    assert "cannot be loaded: experiments/broken.py:1: syntax error" in outcome.out
    assert outcome.out.count("finished") == 2
    listed = json.loads(call("list", "--json").out)
    assert len(listed["runs"]) == 2
    newest = json.loads((project / listed["runs"][0]["run_dir"] / "run.json").read_text())
    assert newest["experiment"]["epochs"] == 2
    assert "epochs=2" in outcome.out
    assert len(json.loads(call("list", "-n", "1", "--json").out)["runs"]) == 1
    assert "latest runs (1 of 2; -n 2 shows all)" in call("list", "-n", "1").out
    assert call("run", "tiny", "--fold", "2").code == 0
    assert "fold 2 only" in call("list").out
