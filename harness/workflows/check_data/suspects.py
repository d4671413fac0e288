"""Finds labels that are probably wrong, from out-of-fold probabilities of a run or of a regression on features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.groups import Groups
from harness.errors import UsageError
from harness.evaluation.label_suspects import find_label_suspects
from harness.evaluation.out_of_fold import out_of_fold_probabilities
from harness.report.label_gallery import mean_predictions
from harness.runs.data_check_record import LabelSuspect
from harness.runs.find import find_run, latest_runs
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.training.image_features import ImageFeatures
from harness.workflows.check_data.gather import Gathered


@dataclass(frozen=True, eq=False)
class Judge:
    """The out-of-fold predictions of a run, with which labels are checked.

    Attributes:
        folder: Of the run.
        paths: (N,) paths of the predicted images.
        labels: (N,) class indices, in the order of the run's classes.
        means: (N, K) probabilities, the mean over the run's repeats.
    """

    folder: RunFolder
    paths: list[str]
    labels: NDArray[np.int64]
    means: NDArray[np.float32]


def judge_of(data: Gathered, runs: Path, named: str | None) -> Judge | None:
    """The run that is `named`, or the most accurate run on the same images and labels; None if there is none.

    It must be accurate, because a model that is often wrong suspects correct labels.

    Raises UsageError if the named run had other images or labels, or lacks predictions of some of them.
    """
    if named is not None:
        folder = find_run(named, runs)
        judge = _judge(data, folder) if _fits(data, folder) else None
        if judge is None:
            raise UsageError(
                f"{folder.path} was trained on other images or labels",
                "labels can only be checked with predictions of the same images and labels",
                "harness run EXPERIMENT, on the same data; or the same command without --run",
            )
        return judge
    fitting = [folder for folder in latest_runs(runs) if _fits(data, folder)]
    fitting.sort(key=lambda folder: folder.record.accuracy or 0, reverse=True)
    judges = (_judge(data, folder) for folder in fitting)
    return next((judge for judge in judges if judge is not None), None)


def _fits(data: Gathered, folder: RunFolder) -> bool:
    record = folder.record
    whole = not folder.is_test and not record.fast_dev_run and record.status == Status.FINISHED
    return whole and record.data is not None and record.data.digest == data.digest


def _judge(data: Gathered, folder: RunFolder) -> Judge | None:
    """The run's predictions; None if the labels have changed since, for example in an edited table."""
    images = data.images
    now = {name: images.classes[images.labels[i]] for i, name in enumerate(data.names)}
    try:
        paths, labels, means, _ = mean_predictions(folder)
    except UsageError:
        return None
    classes = folder.classes
    is_same = {*classes} == {*images.classes} and all(
        now.get(path) == classes[label] for path, label in zip(paths, labels, strict=True)
    )
    return Judge(folder, paths, labels, means) if is_same else None


def suspects_of_run(data: Gathered, judge: Judge) -> tuple[list[LabelSuspect], float]:
    """Returns the suspects of a run's predictions, and the share of labels that the predictions agree with."""
    found = find_label_suspects(judge.labels, judge.means)
    places = {name: i for i, name in enumerate(data.names)}
    classes = judge.folder.classes
    rows = zip(found.indices, found.likely, found.given_probability, found.likely_probability, strict=True)
    suspects = [
        _suspect(data, places[judge.paths[i]], classes[likely], float(given), float(probability))
        for i, likely, given, probability in rows
    ]
    return suspects, float((judge.means.argmax(1) == judge.labels).mean())


def suspects_by_features(
    data: Gathered, features: ImageFeatures, groups: Groups | None
) -> tuple[list[LabelSuspect], float, int]:
    """Finds suspects with a logistic regression on the features.

    Labels of test images are not checked: a correction guided by a model would make its test too good.

    Args:
        data: All images.
        features: Of the images that can be decoded, in their order.
        groups: (N,) group numbers: images with the same number, such as copies, are in one fold.

    Returns:
        The suspects, the share of labels that the regression agrees with, and the number of labels not checked.
    """
    sound = data.sound
    rows = np.array([row for row, i in enumerate(sound) if i < data.judged], np.int64)
    images = np.array(sound, np.int64)[rows]
    labels: NDArray[np.int64] = np.array(data.images.labels, np.int64)[images]
    own = None if groups is None else groups[images]
    values = features.values if len(rows) == len(sound) else features.values[rows]
    probabilities = out_of_fold_probabilities(
        values, labels, own, classes=len(data.images.classes), seed=data.experiment.seed
    )
    found = find_label_suspects(labels, probabilities)
    rows_found = zip(found.indices, found.likely, found.given_probability, found.likely_probability, strict=True)
    suspects = [
        _suspect(data, int(images[i]), data.images.classes[likely], float(given), float(probability))
        for i, likely, given, probability in rows_found
    ]
    judged = ~np.isnan(probabilities).any(1)
    right = float((probabilities[judged].argmax(1) == labels[judged]).mean()) if judged.any() else 0.0
    return suspects, right, int((~judged).sum())


def _suspect(data: Gathered, index: int, likely: str, given: float, probability: float) -> LabelSuspect:
    image = data.image(index)
    reason = f"models not trained on it predict {likely} rather than {image.label}"
    return LabelSuspect(image, likely, given, probability, reason)
