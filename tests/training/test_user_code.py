"""Each function of a user × each mistake in it: the error names the function and its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome, write_experiment
from tests.training.mistakes import ERRORS, PASSING, Mistake

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:Detected call of", "ignore::ResourceWarning")
Call = Callable[..., Outcome]


def arguments(mistake: Mistake, project: Path, data: Path) -> list[str]:
    (project / "experiments/bad.py").write_text(mistake.text(data))
    return ["run", "bad"] if mistake.command == "run" else ["search", "bad", "--trials", "2", "--dry-run"]


def record(project: Path) -> dict[str, object]:
    (path,) = project.glob("runs/bad/*/run.json")
    return dict(json.loads(path.read_text()))


def require_blame(mistake: Mistake, code: int, err: str) -> None:
    lines = err[err.index("error: ") :].splitlines()
    text = "\n".join(lines)
    assert code == mistake.exit_code, text
    assert [line.split(":")[0].strip() for line in lines] == ["error", "why", "try"]
    assert [part for part in mistake.says if part not in text] == [], text
    assert mistake.line is None or f"experiments/bad.py:{mistake.line}" in text, text
    assert "internal error" not in err
    assert mistake.note in err


def quick(mistakes: Sequence[Mistake]) -> list[Any]:
    """Returns the mistakes. Those that need training are marked slow, except one for each function."""
    places: set[str] = set()
    marked = []
    for mistake in mistakes:
        place = mistake.name.partition(" raises ")[0]
        is_known = mistake.trains and place in places
        marked.append(pytest.param(mistake, marks=pytest.mark.slow if is_known else (), id=mistake.name))
        places |= {place} if mistake.trains else set()
    return marked


@pytest.mark.parametrize("mistake", quick(ERRORS))
def test_mistake_is_reported_with_its_function_and_line(
    mistake: Mistake, call: Call, project: Path, scenery: Path
) -> None:
    outcome = call(*arguments(mistake, project, scenery))
    require_blame(mistake, outcome.code, outcome.err)
    if mistake.trains:
        assert record(project)["status"] == "failed"
        what, why = (line.partition(": ")[2] for line in outcome.error_lines[:2])
        assert str(record(project)["error"]).partition(": ")[2] == f"{what}: {why}"
    else:
        assert not (project / "runs").exists()


@pytest.mark.parametrize("mistake", PASSING, ids=lambda mistake: mistake.name)
def test_unusual_but_valid_code_trains_with_a_warning(
    mistake: Mistake, call: Call, project: Path, scenery: Path
) -> None:
    outcome = call(*arguments(mistake, project, scenery))
    assert outcome.code == 0, outcome.err
    notes = [line for line in outcome.err.splitlines() if line.startswith("  warning")]
    assert len(notes) == bool(mistake.note), notes
    assert mistake.note in "".join(notes)


@pytest.mark.parametrize("name", ["on_batch_end raises BrokenPipeError", "a detached loss"])
def test_mistake_on_the_command_line(name: str, project: Path, scenery: Path) -> None:
    mistake = next(mistake for mistake in ERRORS if mistake.name == name)
    command = [sys.executable, "-m", "harness", *arguments(mistake, project, scenery)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.stdout == ""
    require_blame(mistake, done.returncode, done.stderr)


def test_failure_in_the_second_fold_keeps_the_first_fold(call: Call, project: Path, scenery: Path) -> None:
    path = write_experiment(project / "experiments/bad.py", scenery, epochs=1)
    text = path.read_text().rstrip().removesuffix(")")
    path.write_text(f"""from harness import Callback
folds = []
class Mine(Callback):
    def on_fit_start(self, state):
        folds.append(1)
        if len(folds) == 2:
            raise ValueError("enough")
{text}, callbacks=[Mine()])
""")
    outcome = call("run", "bad")
    assert outcome.code == 2
    assert "error: callback Mine.on_fit_start failed at experiments/bad.py:7" in outcome.err
    assert [fold["fold"] for fold in record(project)["folds"]] == [1]  # type: ignore[attr-defined]
    assert record(project)["error"] == (
        "UserCodeError: callback Mine.on_fit_start failed at experiments/bad.py:7: ValueError: enough"
    )
    (predictions,) = project.glob("runs/bad/*/predictions.csv")
    assert len(predictions.read_text().splitlines()) == 1 + 17


def test_frozen_model_that_fails_in_training_is_named(call: Call, project: Path, scenery: Path) -> None:
    mistake = next(mistake for mistake in ERRORS if mistake.name == "a tuple in training")
    call_with = [*arguments(mistake, project, scenery), "-s", "freeze=true"]
    (project / "experiments/bad.py").write_text(
        mistake.text(scenery).replace("self.head = nn", "self.body = nn.Conv2d(3, 3, 1)\n        self.head = nn")
    )
    outcome = call(*call_with)
    assert outcome.code == 2
    assert "model Net.forward" in outcome.err
    assert "returned a tuple" in outcome.err
