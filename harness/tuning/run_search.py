"""Runs the trials of a search, and always writes the study's result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.errors import RemoteError, Terminated
from harness.runs.record_parts import Status
from harness.tuning.conclude import conclude_search
from harness.tuning.result import StudyResult
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial import Paused


def run_search(search: SearchPlan, study: Study, trials: Callable[[], None]) -> StudyResult:
    """Calls `trials`, which runs the trials, and writes the study's result.

    Raises any error of `trials`. In that case it still writes the result so far.
    """
    try:
        trials()
    except (KeyboardInterrupt, Terminated) as error:
        if isinstance(error, Paused):
            conclude_search(search, study, Status.INTERRUPTED, error)
        else:
            search.folder.update(status=Status.INTERRUPTED)
        raise
    except Exception as error:
        search.folder.update(status=Status.FAILED)
        with contextlib.suppress(RemoteError):  # the storage may be what has failed
            conclude_search(search, study, Status.FAILED, error)
        raise
    return conclude_search(search, study, Status.FINISHED)
