"""Converts a record for MLflow: tags, parameters, metrics, the data set, and the run's description."""

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
LEFT_OUT = "left out"  # the start of the reason why MLflow has no model of a run
LONGEST = 6000  # characters of a parameter's value: MLflow's limit
NUMBERS = (
    *("accuracy", "loss", "misclassification_rate", "baseline", "mean", "deviation", "n"),
    *("fit_seconds", "run_seconds"),
)
NO_METRIC = {"fold", "time", "step", "epoch"}


def tags(record: Record) -> dict[str, str]:
    """Tags that say where a run comes from: the code, the data, the user and the machine."""
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
        "harness.judged": _evaluated(record),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _evaluated(record: Record) -> str | None:
    """Which epoch of each fold is evaluated; for a run of an earlier version, why its accuracy is too high."""
    if not isinstance(record, RunRecord) or isinstance(record, TestRecord):
        return None
    return record.judged or record.caveat.removeprefix("; ") or None


def parameters(record: Record, fold: int | None = None) -> dict[str, str]:
    """All fields of the experiment and facts found during the run; for a fold, also its numbers of images."""
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
    """The results of a whole run or test, as far as there are any."""
    metrics: dict[str, float | None] = {name: getattr(record, name, None) for name in NUMBERS}
    if record.interval:
        metrics["interval_low"], metrics["interval_high"] = record.interval
    metrics |= {key(name): value for name, value in record.metrics.items()}
    metrics["temperature"] = record.temperature
    for part in ("uncalibrated", "calibrated"):
        calibration = getattr(record, part)
        if calibration is not None:
            metrics |= {f"{part}_error": calibration.error, f"{part}_log_loss": calibration.log_loss}
    if record.noise is not None:
        metrics["repeats_deviation"] = record.noise.deviation
    for name, scores in record.per_class.items():
        label = name
        while key(f"recall/{label}") in metrics:  # two class names may differ only in letters that MLflow refuses
            label += "_"
        metrics |= {key(f"{score}/{label}"): value for score, value in dataclasses.asdict(scores).items()}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def epoch_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row of `metrics.jsonl`, and the images per second of each split."""
    metrics = {key(name): value for name, value in row.items() if name not in NO_METRIC and value is not None}
    for split in ("train", "valid"):
        if row.get(f"{split}_seconds") and row.get(f"{split}_examples"):
            metrics[f"{split}_images_per_second"] = row[f"{split}_examples"] / row[f"{split}_seconds"]
    return metrics


def data_set(data: DataRecord, context: str) -> list[Any]:
    """The images as an input of the run, identified by the digest that DVC computes for these files."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"images": data.images, "classes": data.classes})
    source = json.dumps({"uri": data.folder})
    dataset = Dataset(data.folder[-200:], data.digest, "local", source, profile=profile)
    labels = {"mlflow.data.context": context, "dvc.file": data.dvc.file if data.dvc else None}
    return [DatasetInput(dataset, [InputTag(name, value) for name, value in labels.items() if value])]


def note(record: Record) -> str:
    """The run's description: a few lines of Markdown, which MLflow shows at the top of its page."""
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
    """A metric's name with only the characters that MLflow allows."""
    return re.sub(r"[^\w.\- :/]", "_", name)


def _user() -> str | None:
    """The name of the user; None in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def milliseconds(moment: str) -> int:
    return int(1000 * datetime.fromisoformat(moment).timestamp())


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
