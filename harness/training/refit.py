"""The final model: one fit on all images of a plan, with the settings of each fold's fit."""

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

EPOCHS = "refit.jsonl"  # one line per epoch, as in `metrics.jsonl`


def refit_split(plan: Plan) -> Split:
    """Returns a split with all images in the training set, except an inner part if something steers the training.

    There is no validation set. Raises DataError if there are too few images for an inner part.
    """
    indices = {i for split in plan.splits.values() for i in (*split.training_side, *split.valid)}
    split = Split(tuple(sorted(indices)), ())
    fraction = inner_fraction(plan.experiment)
    if fraction is None or plan.fast_dev_run:
        return split if fraction is None else Split(split.train, (), next(iter(plan.splits.values())).inner)
    return with_inner(plan.images, split, fraction, plan.experiment.seed, plan.groups)


def refit(plan: Plan, folder: RunFolder, watchers: Sequence[Callback] = ()) -> RefitRecord:
    """Trains one model on all images, with the epochs, the schedule and the callbacks of a fold, and records it.

    There is no validation set, so a callback that reads validation metrics fails: `state.phases` lists the phases. As
    in a fold, what steers the training uses an inner part. The model gets the run's temperature, so that out-of-fold
    predictions calibrate its probabilities. Its file also stores the frozen weights that the folds share, if they are
    the same. The run has no refit until the fit has ended.

    Args:
        plan: All decisions of the run.
        folder: The run folder; the model is written to its checkpoints.
        watchers: Callbacks that run after those of the experiment.

    Returns:
        The record of the refit.

    Raises:
        HarnessError: The errors of `train`.
    """
    split, log = refit_split(plan), folder.inside(EPOCHS)
    if folder.record.refit is not None:  # the new fit overwrites its file before it ends
        folder.update(refit=None)
    if saved_fit(folder, REFIT) is None:
        with storage_errors(log):
            log.unlink(missing_ok=True)
    give_back(folder.checkpoints)
    done = fit(plan, REFIT, split, folder, [EpochLog(log), *watchers])
    record = RefitRecord(
        checkpoint=str(done.checkpoint),
        images=len(split.train),
        inner=len(split.inner),
        epoch=done.epoch,
        epochs=len(done.state.history),
        stop_reason=done.state.stop_reason,
        seconds=round(done.seconds, 3),
    )
    temperature = folder.record.temperature
    take_over(folder.checkpoints, **({} if temperature is None else {"temperature": temperature}))
    folder.end_fit(refit=record)
    return record
