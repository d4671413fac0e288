"""The first screen of a run's report: the question, the accuracy, and warnings about the accuracy."""

from __future__ import annotations

from typing import Any

from harness.report.background import folders_of
from harness.report.charts import Chart, Scale, horizontal, ticks
from harness.report.texts import between, count, duration, folder_text, percent, value_text, without_folders
from harness.runs.record_parts import GateRecord, Status
from harness.runs.records import RunRecord, TestRecord
from harness.runs.run_folder import RunFolder
from harness.util.files import short
from harness.util.text import few, size_text

Facts = list[tuple[str, str]]
FEW_CLASSES = 6  # the most classes that are named on the first screen
LONGEST_NAME = 40  # the most characters of a class name there


def warnings_of(folder: RunFolder) -> list[str]:
    """Returns warnings to show with the accuracy: leaks, an optimistic accuracy, an unfinished run and so on."""
    record, n = folder.record, folder.record.n
    texts = []
    if record.leaked:
        texts.append(
            f"Leak: the model was trained on {record.leaked:,} of the {n:,} images that it was evaluated on, "
            "so the accuracy is too good."
        )
    if record.near_copies_text:
        texts.append(f"Near copies: {record.near_copies_text}.")
    if record.fast_dev_run:
        texts.append("Fast dev run: trained on two batches to check that everything works. Its numbers mean nothing.")
    texts += [_unfinished(folder)] if _unfinished(folder) else []
    optimistic = record.caveat.partition("optimistic: ")[2]
    if optimistic:
        texts.append(f"Optimistic: {optimistic}.")
    if record.interval is not None and record.interval[0] <= (guessing(record) or 0.0):
        texts.append("Not clearly better than the baseline: the 95 % interval is not completely above the baseline.")
    if any(resume.forced for resume in record.resumes):
        texts.append("Forced to resume with another experiment or other images: its folds do not belong together.")
    looks = record.looks if isinstance(record, TestRecord) else None
    if looks is not None and looks.models > 1:
        texts.append(f"Not the first test: this is {looks}.")
    return texts


def _unfinished(folder: RunFolder) -> str:
    """Why a run is not complete, or "" if it is complete."""
    record, status = folder.record, folder.status
    if folder.is_test:
        return "" if status is Status.FINISHED else f"The test did not finish: {status}."
    done, planned = len(record.folds), len(record.splits)
    folds = f"{done} of {count(planned, 'fold')} {'has' if done == 1 else 'have'} ended"
    if status is Status.RUNNING:
        return f"The run is not finished: {folds}."
    if status not in (Status.FINISHED, Status.PRUNED) or done < planned:
        why = f" ({without_folders(record.error, folders_of(record, record.data))})" if record.error else ""
        return f"Unfinished: the run was {status}{why}, and {folds}. The numbers are only of these folds."
    if status is Status.PRUNED:
        return f"Pruned: this trial was stopped early; {folds}."
    whole = record.experiment.get("folds") or 0
    repeats = record.experiment.get("repeats") or 1
    if isinstance(whole, int) and isinstance(repeats, int) and whole and planned < whole * repeats:
        named = few([str(entry.fold) for entry in record.folds])
        return (
            f"Folds are missing: only fold {named} of {whole * repeats} was selected. "
            "The other folds have other validation images."
        )
    return ""


def guessing(record: RunRecord) -> float | None:
    """Returns the baseline, which is the accuracy of always predicting the most frequent class. None if unknown."""
    if record.baseline is not None:
        return record.baseline
    supports = [score.support for score in record.per_class.values()]
    return max(supports) / sum(supports) if sum(supports) else None


def headline_of(folder: RunFolder) -> dict[str, Any]:
    """Returns the fields of the large number at the top. The run must have an accuracy."""
    record = folder.record
    assert record.accuracy is not None
    assert record.interval is not None
    what = "hold-out accuracy"
    if folder.is_test:
        what = "accuracy on test images"
    elif record.experiment.get("folds"):
        what = "out-of-fold accuracy"
    groups = f" in {record.groups:,} independent groups" if record.groups else ""
    gate = record.gate if isinstance(record, TestRecord) else None
    return {
        "value": percent(record.accuracy),
        "what": what,
        "interval": between(record.interval),
        "n": f"{count(record.n or 0, 'image')}{groups}",
        "gate": None if gate is None else gate.passed,
        "strip": strip(record.accuracy, record.interval, guessing(record), None if gate is None else gate.min_accuracy),
    }


def strip(value: float, interval: Any, guess: float | None, gate: float | None) -> Chart:
    """Returns a chart of an accuracy and its interval, on a line that includes the baseline, the gate and 100 %."""
    low, high = interval
    least = min(each for each in (low, guess, gate) if each is not None)
    start = max(0.0, (int(least * 10) - 0.5) / 10)
    width, height = 360.0, 64.0
    x = horizontal(start, 1.0, width, left=12.0)
    about = f"accuracy {percent(value)}, 95 % interval {between(interval)}"
    about += f", baseline {percent(guess)}" if guess is not None else ""
    about += f", gate {percent(gate, 0)}" if gate is not None else ""
    chart = Chart("", about, x, Scale(0, 1, 46.0, 6.0), "", "", width=width, height=height)
    chart.x_ticks = [(each, f"{100 * each:.0f} %") for each in ticks(start, 1.0, 5)]
    if guess is not None:
        chart.rule((guess, 0.0), (guess, 1.0), "guess")
        chart.key.append(("guess", "baseline"))
    if gate is not None:
        chart.rule((gate, 0.0), (gate, 1.0), "gate")
        chart.key.append(("gate", "gate"))
    chart.bar((low, high), (0.3, 0.7), "interval")
    chart.dot(value, 0.5, "valid", 4)
    chart.key.insert(0, ("valid", "accuracy, with its 95 % interval"))
    return chart


def facts_of(folder: RunFolder) -> Facts:
    """Returns rows about the question, the evaluation, the gate, the baseline and the training."""
    record, fields = folder.record, folder.record.experiment
    names = folder.classes
    which = few([f"“{short(name, LONGEST_NAME)}”" for name in names], FEW_CLASSES)
    facts = [("Question", f"Which of {count(len(names), 'class', 'classes')} does an image show: {which}?")]
    facts.append(("Evaluation", judged_by(folder)))
    facts += [("Gate", text) for text in gate_texts(record)]
    guess = guessing(record)
    if guess is not None:
        facts.append(("Baseline", f"{percent(guess)} by always predicting the most frequent class"))
    model = (
        f"{value_text(fields.get('model', 'unknown'))} at {size_text(fields['image_size'])}"
        if "image_size" in fields
        else value_text(fields.get("model", "unknown"))
    )
    facts.append(("Model", f"{model}; {_weights(record)}"))
    training = _training(record)
    facts += [("Training", training)] if training else []
    if record.refit is not None:
        facts.append(
            (
                "Model to use",
                f"trained again on all {record.refit.images:,} images, for {count(record.refit.epoch, 'epoch')}",
            )
        )
    if record.noise is not None and record.noise.deviation is not None:
        repeats = ", ".join(f"{100 * each:.1f}" for each in record.noise.repeats)
        text = f"{repeats} %; only the seed differs; standard deviation {100 * record.noise.deviation:.2f} points"
        facts.append(("Repeats", text))
    if isinstance(record, TestRecord):
        facts += _of_test(record)
    facts.append(("Computed on", _machine(record)))
    return facts


def judged_by(folder: RunFolder) -> str:
    """Returns how the models were evaluated, in words."""
    record, fields = folder.record, folder.record.experiment
    n = count(record.data.images, "image")
    if isinstance(record, TestRecord):
        return f"{n} of {folder_text(record.data.folder)}"
    folds = fields.get("folds")
    if folds:
        repeats = fields.get("repeats") or 1
        again = f", {repeats} times with different seeds" if repeats != 1 else ""
        text = f"{folds}-fold cross-validation{again}: each image is predicted by a model that was not trained on it"
    else:
        text = "a hold-out: images that the model was not trained on"
    sizes = [entry.n for entry in record.folds]
    each = (
        f"; {', '.join(percent(entry.accuracy) for entry in record.folds[:10])} in each fold"
        if 1 < len(sizes) <= 10
        else ""
    )
    return f"{text}; {record.judged or 'the best epoch'} is evaluated{each}"


def gate_texts(record: RunRecord) -> list[str]:
    """Returns a line for each threshold of the gate, and whether it was passed."""
    gate = record.gate if isinstance(record, TestRecord) else None
    if gate is None:
        return ["none: harness test checks the gate, for one model on test images"]
    return [*_floors(gate)]


def _floors(gate: GateRecord) -> list[str]:
    if not gate.floors:
        return [f"{gate.metric} >= {percent(gate.min_accuracy)}: {'passed' if gate.passed else 'NOT passed'}"]
    how = ", at the lower end of the interval" if gate.confident else ""
    return [
        f"{floor.name} >= {percent(floor.least)}{how}: {'passed' if floor.passed else 'NOT passed'}, "
        f"with {percent(floor.value)} ({between(floor.interval)})"
        for floor in gate.floors
    ]


def _weights(record: RunRecord) -> str:
    fields, parameters = record.experiment, record.parameters
    weights = folder_text(record.weights or value_text(fields.get("weights")))
    weights = "trained from scratch" if weights in ("from scratch", "none") else f"weights {weights}"
    freeze = fields.get("freeze")
    frozen = (
        "nothing frozen"
        if freeze in (False, None)
        else "all but the head frozen"
        if freeze is True
        else f"frozen up to {freeze}"
    )
    sizes = f", {parameters['trainable']:,} parameters trained" if "trainable" in parameters else ""
    return f"{weights}, {frozen}{sizes}"


def _training(record: RunRecord) -> str:
    fields = record.experiment
    parts = [count(fields["epochs"], "epoch")] if "epochs" in fields else []
    parts += (
        [f"{value_text(fields['optimizer'])} with lr {value_text(fields.get('lr'))}"] if "optimizer" in fields else []
    )
    parts += [f"batches of {fields['batch_size']}"] if "batch_size" in fields else []
    if fields.get("augment"):
        parts.append(f"augmentation {value_text(fields['augment'])}")
    if record.fit_seconds is not None and record.folds and not isinstance(record, TestRecord):
        parts.append(f"{duration(record.fit_seconds)} of training")
    return ", ".join(parts)


def _of_test(record: TestRecord) -> Facts:
    facts = [] if record.looks is None else [("Times tested", str(record.looks))]
    joint = record.ensemble
    if joint is not None:
        facts.append(
            (
                "Ensemble",
                f"the mean of {joint.models} models: {percent(joint.accuracy)} ({between(joint.interval)}), right on "
                f"{joint.better} images where the model is wrong and wrong on {joint.worse} where it is right "
                f"(p {joint.p:.2g}); it takes {joint.cost:.1f} times as long",
            )
        )
    return facts


def _machine(record: RunRecord) -> str:
    precision = f", {record.precision.name}" if record.precision is not None else ""
    threads = f" with {count(record.threads, 'thread')}" if record.threads and record.device == "cpu" else ""
    return f"{record.device or 'an unknown device'}{threads}{precision}"
