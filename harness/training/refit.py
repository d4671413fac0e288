"""The model to use: one fit on all images of a plan, by the same recipe as each fold's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.splits import Split, with_inner
from harness.engine.callbacks import EpochLog
from harness.engine.shared_weights import give_back, take_over
from harness.engine.trainer import Callback
from harness.errors import storage_errors
from harness.runs.record_parts import RefitRecord
from harness.runs.run_folder import RunFolder
from harness.training.fit import REFIT, fit
from harness.training.plan import Plan
from harness.training.saved_fit import saved_fit
from harness.training.steering import inner_fraction

EPOCHS = "refit.jsonl"  # a line per epoch, as in `metrics.jsonl`


def refit_split(plan: Plan) -> Split:
    """All images of a plan to train on, less an inner part if something steers the training; none to judge by.

    Raises DataError if there are too few for an inner part.
    """
    indices = {i for split in plan.splits.values() for i in (*split.training_side, *split.valid)}
    split = Split(tuple(sorted(indices)), ())
    fraction = inner_fraction(plan.experiment)
    if fraction is None or plan.fast_dev_run:
        return split if fraction is None else Split(split.train, (), next(iter(plan.splits.values())).inner)
    return with_inner(plan.images, split, fraction, plan.experiment.seed, plan.groups)


def refit(plan: Plan, folder: RunFolder, watchers: Sequence[Callback] = ()) -> RefitRecord:
    """Trains one model on all images, with the epochs, the schedule and the callbacks of a fold, and records it.

    There are no validation images. What steers the training has an inner part, as in a fold. A callback that reads
    metrics of validation fails: `state.phases` says which phases there are. The model takes the run's temperature, so
    that its probabilities are calibrated by predictions out of fold. Its file also holds the frozen weights that the
    folds share, if they are the same. Until the fit has ended, the run has no such model.

    Args:
        plan: Every decision of the run.
        folder: Its folder; the model goes to its checkpoints.
        watchers: Callbacks that run after those of the experiment.

    Raises:
        HarnessError: As `train` does.
    """
    split, log = refit_split(plan), folder.inside(EPOCHS)
    if folder.record.refit is not None:  # its file is written over, before this fit has ended
        folder.update(refit=None)
    if saved_fit(folder, REFIT) is None:
        with storage_errors(log):
            log.unlink(missing_ok=True)
    give_back(folder.checkpoints)
    made = fit(plan, REFIT, split, folder, [EpochLog(log), *watchers])
    record = RefitRecord(
        checkpoint=str(made.checkpoint),
        images=len(split.train),
        inner=len(split.inner),
        epoch=made.epoch,
        epochs=len(made.state.history),
        stop_reason=made.state.stop_reason,
        seconds=round(made.seconds, 3),
    )
    temperature = folder.record.temperature
    take_over(folder.checkpoints, **({} if temperature is None else {"temperature": temperature}))
    folder.end_fit(refit=record)
    return record
