"""Converts a record to what MLflow takes: tags, parameters, metrics, the data set, and a note for people."""

from __future__ import annotations

import dataclasses
import getpass
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from harness.runs.record_parts import DataRecord, GitRecord
from harness.runs.records import RunRecord, StudyRecord, TestRecord
from harness.util.escape import code, markdown

Record = RunRecord | StudyRecord
LEFT_OUT = "left out"  # how the reason begins for which a run has no model there
LONGEST = 6000  # characters of a parameter's value, MLflow's own limit
NUMBERS = (
    *("accuracy", "loss", "misclassification_rate", "baseline", "mean", "deviation", "n"),
    *("fit_seconds", "run_seconds"),
)
NO_METRIC = {"fold", "time", "step", "epoch"}


def tags(record: Record) -> dict[str, str]:
    """Where a run comes from: the code, the data, the person and the machine."""
    git, data = record.git or GitRecord(), record.data
    dvc = data.dvc if data else None
    values = {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": " ".join(takewhile(lambda part: not part.startswith("-"), record.command)),
        "mlflow.source.git.commit": git.commit,
        "git.dirty": git.dirty if record.git else None,
        "dvc.md5": dvc.md5 if dvc else None,
        "dvc.file": dvc.file if dvc else None,
        "dvc.matches": dvc.matches if dvc else None,
        "data.digest": data.digest if data else None,
        "data.groups": data.groups if data else None,
        "data.leaked": (data.leaked or None) if data else None,
        "data.near_copies": (data.near_copies or None) if data else None,
        "harness.host": record.host,
        "harness.pid": record.pid,
        "harness.fast_dev_run": record.fast_dev_run or None,
        "harness.judged": _judged(record),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _judged(record: Record) -> str | None:
    """Which epoch of each fold is judged; of an earlier version, that its number is too good."""
    if not isinstance(record, RunRecord) or isinstance(record, TestRecord):
        return None
    return record.judged or record.caveat.removeprefix("; ") or None


def parameters(record: Record, fold: int | None = None) -> dict[str, str]:
    """Every field of the experiment, and what was found out about it; of a fold, also how many images it had."""
    values = dict(record.experiment)
    values |= {f"{name}_parameters": count for name, count in record.parameters.items()}
    values |= {"device": record.device, "weights_used": record.weights}
    values |= {"precision_used": record.precision.name if record.precision else None}
    if record.data:
        values |= {"images": record.data.images, "classes": ", ".join(record.data.classes)}
    values |= record.asked
    if fold is not None:
        sizes = record.splits[str(fold)]
        values |= {"train_images": sizes.train, "valid_images": sizes.valid, "fold": fold}
    return {name: _text(value)[:LONGEST] for name, value in values.items()}


def numbers(record: RunRecord) -> dict[str, float]:
    """The numbers of a whole run or test, as far as there are any."""
    metrics: dict[str, float | None] = {name: getattr(record, name, None) for name in NUMBERS}
    if record.interval:
        metrics["interval_low"], metrics["interval_high"] = record.interval
    metrics |= {key(name): value for name, value in record.metrics.items()}
    metrics["temperature"] = record.temperature
    for part in ("uncalibrated", "calibrated"):
        found = getattr(record, part)
        metrics |= {} if found is None else {f"{part}_error": found.error, f"{part}_log_loss": found.log_loss}
    if record.noise is not None:
        metrics["repeats_deviation"] = record.noise.deviation
    for name, scores in record.per_class.items():
        label = name
        while key(f"recall/{label}") in metrics:  # another class whose name differs only in letters that MLflow refuses
            label += "_"
        metrics |= {key(f"{score}/{label}"): value for score, value in dataclasses.asdict(scores).items()}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def epoch_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row of `metrics.jsonl`, and the images per second on each side."""
    metrics = {key(name): value for name, value in row.items() if name not in NO_METRIC and value is not None}
    for side in ("train", "valid"):
        if row.get(f"{side}_seconds") and row.get(f"{side}_examples"):
            metrics[f"{side}_images_per_second"] = row[f"{side}_examples"] / row[f"{side}_seconds"]
    return metrics


def data_set(data: DataRecord, context: str) -> list[Any]:
    """The images as an input of the run, by the digest that DVC gives to just these files."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"images": data.images, "classes": data.classes})
    source = json.dumps({"uri": data.folder})
    dataset = Dataset(data.folder[-200:], data.digest, "local", source, profile=profile)
    labels = {"mlflow.data.context": context, "dvc.file": data.dvc.file if data.dvc else None}
    return [DatasetInput(dataset, [InputTag(name, value) for name, value in labels.items() if value])]


def note(record: Record) -> str:
    """A few lines in Markdown, which MLflow shows above everything else of a run."""
    lines = [code(" ".join(record.command)), *_result(record)]
    if isinstance(record, TestRecord) and record.gate:
        gate = record.gate
        metric = "" if gate.metric == "accuracy" else f" of {gate.metric.replace('_', ' ')}"
        lines.append(f"gate {100 * gate.min_accuracy:g} %{metric}: **{'PASS' if gate.passed else 'FAIL'}**")
        if record.looks:
            lines.append(str(record.looks))
    if record.error:
        lines.append(f"{record.status}: {markdown(record.error)}")
    return "\n\n".join([*lines, *(f"- {markdown(text)}" for text in record.notes)])


def _result(record: Record) -> list[str]:
    if isinstance(record, StudyRecord):
        best = record.result.best if record.result else None
        if best is None or best.accuracy is None or best.low is None or best.high is None or best.n is None:
            return []
        return [_accuracy(best.accuracy, (best.low, best.high), best.n)]
    if record.accuracy is None or record.interval is None or record.n is None:
        return []
    return [_accuracy(record.accuracy, record.interval, record.n) + record.caveat]


def _accuracy(value: float, interval: Sequence[float], n: int) -> str:
    low, high = interval
    return f"**accuracy {100 * value:.1f} %** (95 % interval {100 * low:.1f} to {100 * high:.1f} %, n = {n})"


def key(name: str) -> str:
    """A name in the letters that MLflow takes for a metric."""
    return re.sub(r"[^\w.\- :/]", "_", name)


def _user() -> str | None:
    """Who runs it; None in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def milliseconds(moment: str) -> int:
    return int(1000 * datetime.fromisoformat(moment).timestamp())


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
