"""`harness.compare`: compares runs, trials and tests in Python."""

from __future__ import annotations

from pathlib import Path

from harness.workflows.compare.runs import RunComparison, compare_runs


def compare(*named: str | Path, runs: str | Path = "runs", allow_leak: bool = False) -> RunComparison:
    """Compares the accuracy of two or more runs, trials or tests, as `harness compare` does.

    Only the images that all of them have predicted are compared.

    Args:
        *named: Two or more runs, trials or tests: each a folder, an id or its last characters, "champion", or an
            object that `harness.run` or `harness.test` returned.
        runs: The folder that contains the run folders.
        allow_leak: Compare even if one model was trained on images that it is evaluated on.

    Returns:
        The comparison. `accuracies` has the accuracy of each, `pairs` the difference of each pair with its 95 %
        interval and p-value, and `n` the number of images. `to_dict()` has all numbers.

    Raises:
        UsageError: A run does not exist, has no predictions, or is named twice.
        DataError: The classes differ, no image is shared, or a model was trained on images that it is evaluated on.

    Example:
        >>> import harness
        >>> first = harness.run("quickstart")
        >>> second = harness.run("quickstart", lr=0.01)
        >>> harness.compare(first, second)  # doctest: +ELLIPSIS
        RunComparison(A ... %, B ... % on ... shared images)
    """
    return compare_runs([str(getattr(run, "path", run)) for run in named], Path(runs), allow_leak=allow_leak)
