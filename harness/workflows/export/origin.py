"""The origin of a model, for the metadata of an exported file. Contains no path of this machine."""

from __future__ import annotations

import hashlib
from typing import Any

from harness.engine.checkpoint import whole
from harness.models.export_record import OriginRecord
from harness.runs import provenance
from harness.runs.records import RunRecord
from harness.workflows.find_model import FoundModel
from harness.workflows.predict.worth import champion_at, run_at


def origin_of(found: FoundModel) -> OriginRecord:
    """The run, commit, data and accuracy of a model. Unknown ones are left out."""
    digest = hashlib.sha256(whole(found.path)).hexdigest()
    present = champion_at(found.path)
    run = present.run if present is not None else run_at(found.path)
    known: dict[str, Any] = {} if run is None else {"run": run.id, "name": run.name, "git": run.git}
    if run is not None and run.accuracy is not None:
        known |= {"accuracy": run.accuracy, "interval": run.interval, "n": run.n}
    if isinstance(run, RunRecord):
        known["caveat"] = run.caveat.removeprefix("; ")
    data = found.saved.data_digest or (run.data.digest if run is not None and run.data is not None else None)
    return OriginRecord(
        **known,
        champion=None if present is None else present.number,
        checkpoint=digest,
        data=data,
        versions=provenance.versions(),
    )
