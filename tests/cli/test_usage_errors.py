"""What is printed if a command line has an unknown option or lacks an argument."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from tests.conftest import Outcome

Call = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("typed", "why", "fix"),
    [
        ("run quickstart --epochs 3", "epochs is a field of an experiment", "harness run EXPERIMENT -s epochs=VALUE"),
        (
            "search a --batch-size 8",
            "batch_size is a field of an experiment",
            "harness search EXPERIMENT -s batch_size=VALUE",
        ),
        ("run quickstart --nonsense", "harness run does not accept it", "harness run --help"),
        ("list --epochs 3", "harness list does not accept it", "harness list --help"),
        ("data statsu", "harness data does not accept it", "harness data --help"),
        ("test --data loose/", "harness test needs it", "harness test MODEL; harness test --help shows all options"),
    ],
)
def test_usage_error_suggests_what_to_type(call: Call, typed: str, why: str, fix: str) -> None:
    outcome = call(*shlex.split(typed))
    assert outcome.code == 2
    assert outcome.error_lines[1:] == [f"  why: {why}", f"  try: {fix}"]
