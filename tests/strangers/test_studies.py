"""Studies that somebody sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.strangers.conftest import Sandbox

BAD_RESULTS: list[Any] = [7, {"best": {"trial": "../../x"}}, {"best": {"trial": 10**9}}]
STUDY: list[tuple[str, Any]] = [
    *(("name", value) for value in ("../x", 7)),
    *(("experiment_name", value) for value in ("../x", None)),
    *(("id", value) for value in ("x' or 'a' = 'a", 7)),
    *((key, value) for key in ("result", "found") for value in BAD_RESULTS),  # version 0.1.0 wrote "found"
    *(("started", value) for value in ("yesterday", 7)),
    *(("trials", value) for value in (-1, "x")),
    *(("status", value) for value in ("\x1b[2J", 7)),
]


@pytest.mark.parametrize(("field", "value"), STUDY, ids=lambda value: ascii(value)[:40])
def test_a_study_with_a_field_of_another_form_is_left_out(sandbox: Sandbox, field: str, value: Any) -> None:
    folder = sandbox.project / "runs/tiny/study-x"
    folder.mkdir()
    record = {
        "name": "x",
        "experiment_name": "tiny",
        "status": "finished",
        "started": "2026-01-01T00:00:00",
        "id": "ab",
    }
    (folder / "study.json").write_text(json.dumps(record))
    assert "study x" in sandbox.runs("list").out
    sandbox.change(folder / "study.json", field, value)
    outcome = sandbox.runs("list")
    assert outcome.code == 0
    assert "study x" not in outcome.out
