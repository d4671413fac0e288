"""Reads and writes the trials in a study's storage, so that any machine can continue, compare and report them."""

from __future__ import annotations

import base64
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.groups import Groups, accuracy_of
from harness.evaluation.predictions import Predictions
from harness.training.fit import FoldResult
from harness.tuning.schemas import TrialAttributes, TrialFold
from harness.util.schema import SchemaError, schema_of, validate

ACCURACY, LOSS, LOG_LOSS = "valid_accuracy", "valid_loss", "valid_log_loss"  # metrics that are means over images
SMALLEST, STEPS = -10, 16  # a loss is stored as one byte: its log2 in steps of 1/16, from 2**-10 (to 4 %)


@dataclass(frozen=True)
class FoldScores:
    """One fold of a trial, in the order of the fold's validation images."""

    fold: int
    value: float  # of the metric that ranks trials
    right: NDArray[np.bool_]  # (n,) whether each image is right
    losses: NDArray[np.float64] | None  # (n,) cross-entropy, if that ranks trials
    curve: tuple[float, ...]  # validation accuracy by epoch
    seconds: float  # of the whole fold
    loop_seconds: float  # of training and validation, without work that is done once for all trials
    checkpoint: str

    @property
    def n(self) -> int:
        return len(self.right)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,) more is better. Losses are stored to 4 %, so they are scaled to the fold's exact mean."""
        if self.losses is None:
            return self.right.astype(np.float64)
        mean = float(self.losses.mean())
        return -self.losses * (self.value / mean if mean > 0 else 1.0)

    @classmethod
    def of(cls, result: FoldResult, metric: str, by_image: bool = True) -> FoldScores:
        """Makes the scores of a trained fold. `by_image` is whether the metric is a mean over images."""
        return cls(
            fold=result.fold,
            value=result.history[result.epoch - 1][metric],
            right=result.predictions.right,
            losses=_losses(result.predictions) if by_image and metric in (LOSS, LOG_LOSS) else None,
            curve=tuple(row["valid_accuracy"] for row in result.history),
            seconds=result.seconds,
            loop_seconds=sum(row["train_seconds"] + row["valid_seconds"] for row in result.history),
            checkpoint=result.checkpoint.name,
        )

    def to_plain(self) -> dict[str, Any]:
        """JSON values. 300,000 images take less than 64 kB, the limit of a text column in MySQL."""
        losses = None
        if self.losses is not None:
            steps = STEPS * (np.log2(np.maximum(self.losses, 2.0**SMALLEST)) - SMALLEST)
            losses = _packed(np.clip(np.round(steps), 0, 255).astype(np.uint8))
        return {
            "value": self.value,
            "n": self.n,
            "right": _packed(np.packbits(self.right)),
            "losses": losses,
            "curve": list(self.curve),
            "seconds": round(self.seconds, 3),
            "loop_seconds": round(self.loop_seconds, 3),
            "checkpoint": self.checkpoint,
        }

    @classmethod
    def from_plain(cls, fold: int, values: Mapping[str, Any]) -> FoldScores:
        losses = None
        if values["losses"] is not None:
            losses = 2.0 ** (_unpacked(values["losses"], values["n"]) / STEPS + SMALLEST)
        right = np.unpackbits(_unpacked(values["right"], -(-values["n"] // 8)), count=values["n"]).astype(bool)
        seconds = values["seconds"], values["loop_seconds"]
        return cls(fold, values["value"], right, losses, tuple(values["curve"]), *seconds, values["checkpoint"])


@dataclass(frozen=True)
class TrialRecord:
    """A trial in the storage. A trial that was started again has the same `index` (from 0) and a new `number`."""

    optuna_trial: FrozenTrial
    index: int
    groups: Groups | None = None  # (N,) group of each validation image, over all folds; None if all are independent

    @property
    def number(self) -> int:
        return self.optuna_trial.number

    @property
    def attributes(self) -> dict[str, Any]:
        return self.optuna_trial.user_attrs

    @property
    def state(self) -> str:
        """waiting, running, complete, pruned, failed; or "died" if another trial replaces it."""
        if "died" in self.attributes and self.optuna_trial.state == TrialState.FAIL:
            return "died"
        return {TrialState.FAIL: "failed"}.get(self.optuna_trial.state, self.optuna_trial.state.name.lower())

    @property
    def reason(self) -> str | None:
        """Why it failed or was pruned."""
        return self.attributes.get("reason") or self.attributes.get("pruned")

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that it changed in the experiment, with their values."""
        return dict(self.attributes.get("changes", {}))

    @property
    def value(self) -> float:
        """The metric that ranks trials, pooled over the images of its folds."""
        return pooled(self.folds)

    @property
    def accuracy(self) -> Accuracy:
        return accuracy_of(self.right, self._groups)

    @property
    def _groups(self) -> Groups | None:
        """(n,) group of each image in the folds that it has."""
        return None if self.groups is None else self.groups[: sum(fold.n for fold in self.folds)]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether each image of its folds is right."""
        return np.concatenate([fold.right for fold in self.folds])

    @cached_property
    def folds(self) -> list[FoldScores]:
        folds = {int(n[4:]): values for n, values in self.attributes.items() if _is_fold(n)}
        return [FoldScores.from_plain(fold, folds[fold]) for fold in sorted(folds)]

    @property
    def seconds(self) -> float:
        """The total time of its folds."""
        return sum(fold.seconds for fold in self.folds)

    @property
    def loop_seconds(self) -> float:
        """The time of training and validation in its folds."""
        return loop_seconds(self.folds)

    @property
    def kind(self) -> str:
        return str(self.attributes.get("kind", ""))


def pooled(folds: Sequence[FoldScores]) -> float:
    """The mean over images."""
    return sum(fold.value * fold.n for fold in folds) / sum(fold.n for fold in folds)


def loop_seconds(folds: Sequence[FoldScores]) -> float:
    """The time of training and validation: the folds' median times their number, because the first fold is slower."""
    return statistics.median(fold.loop_seconds for fold in folds) * len(folds) if folds else 0.0


def trial_records(trials: Sequence[FrozenTrial], groups: Groups | None = None) -> list[TrialRecord]:
    """Returns each trial with its index. A trial that replaces another one has its index; the others are numbered.

    Raises:
        SchemaError: A trial's content is not valid. It is checked because a storage may come from anyone.
    """
    known: dict[int, int] = {}
    originals = 0
    for trial in sorted(trials, key=lambda trial: trial.number):
        _require_form(trial)
        instead_of = trial.user_attrs.get("instead_of")
        if instead_of is not None and instead_of not in known:
            raise SchemaError(f"trial {trial.number} replaces trial {instead_of}, which does not exist")
        known[trial.number] = originals if instead_of is None else known[instead_of]
        originals += instead_of is None
    records = [TrialRecord(trial, known[trial.number], groups) for trial in trials]
    _require_same_folds(records)
    return records


def is_ours(trial: FrozenTrial) -> bool:
    """Whether harness made a trial, or may still train it. Other programs may add ended trials to the study."""
    ours = any(name in TrialAttributes.__annotations__ or _is_fold(name) for name in trial.user_attrs)
    return ours or not trial.state.is_finished()


def _require_form(trial: FrozenTrial) -> None:
    try:
        validate(schema_of(TrialAttributes), trial.user_attrs)
        for name, value in trial.user_attrs.items():
            if _is_fold(name):
                FoldScores.from_plain(int(name[4:]), validate(schema_of(TrialFold), value))
    except SchemaError as error:
        raise SchemaError(f"trial {trial.number} is damaged: {error}") from error


def _require_same_folds(records: Sequence[TrialRecord]) -> None:
    """Raises SchemaError if complete trials do not have the same folds of the same size: they cannot be compared."""
    sizes: dict[int, int] | None = None
    for record in records:
        if record.state == "complete":
            folds = {fold.fold: fold.n for fold in record.folds}
            if not folds or folds != (sizes or folds):
                raise SchemaError(f"trial {record.number} is damaged: its folds are not those of the others")
            sizes = folds


def _is_fold(name: str) -> bool:
    return name.startswith("fold") and name[4:].isdecimal() and len(name) < 10


def _losses(predictions: Predictions) -> NDArray[np.float64]:
    losses: NDArray[np.float64] = -np.log(np.maximum(predictions.of_true_class, np.finfo(np.float64).tiny))
    return losses


def _packed(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


@lru_cache(maxsize=1024)  # each read of a study checks all its folds
def _unpacked(text: str, size: int) -> NDArray[np.uint8]:
    """(size,) bytes. Raises SchemaError for another size: a short text may unpack to gigabytes."""
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text), size + 1)
    except (ValueError, zlib.error) as error:
        raise SchemaError(f"the scores of a fold cannot be unpacked: {error}") from error
    if len(content) != size:
        raise SchemaError("the scores of a fold are not as many as its images")
    return np.frombuffer(content, np.uint8)
