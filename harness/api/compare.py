"""`harness.compare`: a comparison in Python, the same as the command."""

from __future__ import annotations

from pathlib import Path

from harness.workflows.compare.runs import RunComparison, compare_runs


def compare(*named: str | Path, runs: str | Path = "runs", allow_leak: bool = False) -> RunComparison:
    """Compares results on the images that all of them have predicted, as `harness compare` does.

    Args:
        named: Two or more: folders, ids or ends of ids of runs, trials and tests; "champion"; or what `harness.run`
            returned.
        runs: The folder that run folders lie in.
        allow_leak: Go on if one was trained on images that it is judged on.

    Returns:
        Its `pairs`, `accuracies` and `n`; `to_dict()` has all.

    Raises:
        UsageError: One is not there, has no predictions, or is named twice.
        DataError: The classes differ, no image is shared, or one was trained on images that it is judged on.
    """
    return compare_runs([str(getattr(each, "path", each)) for each in named], Path(runs), allow_leak=allow_leak)
