"""What a run's record says, in MLflow's words: tags, parameters, metrics, the data set, and a note for people."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile
from typing import Any

from harness.util.escape import code, markdown

Record = Mapping[str, Any]
LONGEST = 6000  # characters of a parameter's value, MLflow's own limit
NUMBERS = (
    *("accuracy", "loss", "misclassification_rate", "baseline", "mean", "deviation", "n"),
    *("fit_seconds", "run_seconds"),
)
NO_METRIC = {"fold", "time", "step", "epoch"}


def tags(record: Record) -> dict[str, str]:
    """Where a run comes from: the code, the data, the person and the machine."""
    git, dvc = record.get("git") or {}, record["data"].get("dvc") or {}
    values = {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": " ".join(takewhile(lambda part: not part.startswith("-"), record.get("command", []))),
        "mlflow.source.git.commit": git.get("commit"),
        "git.dirty": git.get("dirty"),
        "dvc.md5": dvc.get("md5"),
        "dvc.file": dvc.get("file"),
        "dvc.matches": dvc.get("matches"),
        "data.digest": record["data"].get("digest"),
        "harness.host": record.get("host"),
        "harness.pid": record.get("pid"),
        "harness.fast_dev_run": record.get("fast_dev_run") or None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def parameters(record: Record, fold: int | None = None) -> dict[str, str]:
    """Every field of the experiment, and what was found out about it; of a fold, also how many images it had."""
    values = dict(record["experiment"])
    values |= {f"{name}_parameters": count for name, count in record.get("parameters", {}).items()}
    values |= {"device": record.get("device"), "weights_used": record.get("weights")}
    values |= {"precision_used": (record.get("precision") or {}).get("name"), "images": record["data"]["images"]}
    values |= {"classes": ", ".join(record["data"]["classes"]), **record.get("asked", {})}
    if fold is not None:
        values |= {f"{side}_images": count for side, count in record["splits"][str(fold)].items()} | {"fold": fold}
    return {name: _text(value)[:LONGEST] for name, value in values.items()}


def numbers(record: Record) -> dict[str, float]:
    """The numbers of a whole run or test, as far as there are any."""
    found = {name: record.get(name) for name in NUMBERS}
    if record.get("interval"):
        found["interval_low"], found["interval_high"] = record["interval"]
    for name, scores in record.get("per_class", {}).items():
        shown = name
        while key(f"recall/{shown}") in found:  # another class whose name differs only in letters that MLflow refuses
            shown += "_"
        found |= {key(f"{score}/{shown}"): value for score, value in scores.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def epoch_numbers(row: Record) -> dict[str, float]:
    """The metrics of a row of `metrics.jsonl`, and the images per second on each side."""
    found = {key(name): value for name, value in row.items() if name not in NO_METRIC and value is not None}
    for side in ("train", "valid"):
        if row.get(f"{side}_seconds") and row.get(f"{side}_examples"):
            found[f"{side}_images_per_second"] = row[f"{side}_examples"] / row[f"{side}_seconds"]
    return found


def data_set(record: Record, context: str) -> list[Any]:
    """The images as an input of the run, by the digest that DVC gives to just these files."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = record["data"]
    profile = json.dumps({"images": data["images"], "classes": data["classes"]})
    source = json.dumps({"uri": data["folder"]})
    found = Dataset(data["folder"][-200:], data["digest"], "local", source, profile=profile)
    labels = {"mlflow.data.context": context, "dvc.file": (data.get("dvc") or {}).get("file")}
    return [DatasetInput(found, [InputTag(name, value) for name, value in labels.items() if value])]


def note(record: Record) -> str:
    """A few lines in Markdown, which MLflow shows above everything else of a run."""
    lines = [code(" ".join(record.get("command", [])))]
    if record.get("accuracy") is not None:
        low, high = record["interval"]
        lines.append(
            f"**accuracy {100 * record['accuracy']:.1f} %** (95 % interval {100 * low:.1f} to {100 * high:.1f} %, "
            f"n = {record['n']})"
        )
    if record.get("gate"):
        gate = record["gate"]
        lines.append(f"gate {100 * gate['min_accuracy']:g} %: **{'PASS' if gate['passed'] else 'FAIL'}**")
    if record.get("error"):
        lines.append(f"{record['status']}: {markdown(record['error'])}")
    return "\n\n".join([*lines, *(f"- {markdown(text)}" for text in record.get("notes", []))])


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
