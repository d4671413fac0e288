from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config.settings_file import read_settings
from harness.errors import UsageError
from tests.conftest import Outcome


def test_read_settings_keeps_each_value_as_text(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "experiment: x\n"
        "set:\n  lr: 1e-3\n  freeze: true\n  weights: none\n  trackers: [mlflow, tensorboard]\n  seed: 007\n"
    )
    assert read_settings(tmp_path / "p.yaml") == {
        "lr": "1e-3",
        "freeze": "true",
        "weights": "none",
        "trackers": "mlflow,tensorboard",
        "seed": "007",
    }


def test_set_from_sets_fields_and_a_typed_setting_has_priority(project: Path, call: Callable[..., Outcome]) -> None:
    (project / "params.yaml").write_text("set:\n  lr: 1e-3\n  epochs: 1\n")
    outcome = call("run", "tiny", "--set-from", "params.yaml", "-s", "lr=0.5", "--dry-run", "--json")
    fields = json.loads(outcome.out)
    assert (fields["lr"], fields["epochs"]) == (
        {"value": 0.5, "origin": "command line"},
        {"value": 1, "origin": "command line"},
    )
    (project / "params.yaml").write_text("set:\n  lrr: 1e-3\n")
    refused = call("run", "tiny", "--set-from", "params.yaml")
    assert (refused.code, len(refused.error_lines)) == (2, 3)
    assert "lrr" in refused.err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff\xfe\x00", "it is not a text file"),
        (b"set: [", "it is not valid YAML"),
        (b"lr: 1", "no fields below `set`"),
        (b"set: 1", "no fields below `set`"),
        (b"- a", "no fields below `set`"),
        (b"set: {lr: {a: 1}}", "it contains other fields"),
    ],
)
def test_read_settings_says_why_a_file_has_no_settings(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=why):
        read_settings(tmp_path / "p.yaml")
