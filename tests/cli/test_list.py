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
    assert listed["runs"][0]["run_dir"] > listed["runs"][1]["run_dir"]
    assert len(json.loads(call("list", "-n", "1", "--json").out)["runs"]) == 1
