"""Runs all checks of a data set."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.data.describe import describe_images
from harness.data.file_facts import FileFacts, shortcut_facts
from harness.data.groups import Groups, numbered
from harness.data.images import Side
from harness.data.odd_images import odd_images
from harness.engine.device import choose_device
from harness.errors import HarnessError
from harness.evaluation.shortcuts import find_shortcut
from harness.models.at_hand import imagenet_on_disk
from harness.runs.data_check_record import (
    DataCheckRecord,
    FactShare,
    LabelSuspect,
    OddImage,
    OddKind,
    ShortcutRecord,
)
from harness.training.image_features import ImageFeatures, image_features
from harness.util.console import bar_of
from harness.workflows.check_data import methods
from harness.workflows.check_data.copy_sets import (
    Link,
    copied_classes,
    copied_images,
    copy_links,
    numbers_of_sets,
    scene_links,
    sets_of_links,
)
from harness.workflows.check_data.gather import Gathered, gather, note_of
from harness.workflows.check_data.likeness import likeness_of_sides
from harness.workflows.check_data.suspects import Judge, judge_of, suspects_by_features, suspects_of_run
from harness.workflows.near_copies import copies_left_out, search

MOST_FEATURES = 20_000  # above this number of images, a CPU computes features only with --features


@dataclass(frozen=True)
class CheckOptions:
    """Options of a data check.

    Attributes:
        run: The run whose out-of-fold predictions find wrong labels; None for the best run on the same images.
        runs: The folder of all runs.
        features: Whether to compute features of a model. None: only if that is fast and needs no download.
        device: "auto", or the name of a torch device.
    """

    run: str | None = None
    runs: Path = Path("runs")
    features: bool | None = None
    device: str = "auto"


def check_data(experiment: Experiment, options: CheckOptions | None = None) -> DataCheckRecord:
    """Looks for copies, doubtful labels, shortcuts and odd images in all splits of an experiment's data.

    Images that cannot be decoded are listed, and left out of the checks that need pixels. The notes of the record say
    which checks were left out, and why.

    Raises:
        DataError: The data cannot be listed: there is no folder, no class, or more than one possible layout.
        UsageError: `options.run` has other images, or there is no such device.
    """
    options = options or CheckOptions()
    started, clock = datetime.now().astimezone(), time.perf_counter()
    device = choose_device(options.device)
    data = gather(experiment)
    notes = list(data.notes)
    judge = judge_of(data, options.runs, options.run)
    copies = search([data.check], data.cache)
    links = copy_links(data, copies)
    sets = numbers_of_sets(len(data.images), links)
    facts, appearance = describe_images(data.images, data.check, data.cache, data.experiment.value_range)
    features, why_none = _features(data, options, device.type, judge is not None)
    scenes = _scenes(data, features, sets, notes)
    copy_sets, more_copies = sets_of_links(data, links)
    groups = numbered(data.groups, sets.tolist())
    oddities, odd_notes = odd_images(data.images, facts, appearance, data.check.problems)
    suspects, right, probabilities, suspect_notes = _suspects(data, judge, features, groups)
    notes += [
        *copies_left_out(copies),
        *copied_classes(data, copy_sets),
        *suspect_notes,
        *([why_none] if why_none else []),
        *odd_notes,
    ]
    shortcut, sides = _shortcut(data, facts, groups), likeness_of_sides(data, features, appearance, groups)
    asked = data.experiment
    return DataCheckRecord(
        name=asked.name or asked.data,
        data=asked.data,
        folder=str(data.images.root),
        digest=data.check.digest(data.images),
        counts=data.counts(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
        features="" if features is None else features.about,
        probabilities=probabilities,
        right=right,
        pairs=len(links),
        copies=copy_sets,
        more_copies=more_copies,
        copied=copied_images(data, copies),
        is_cut=copies.is_cut,
        unchecked=list(data.unchecked),
        scenes=sets_of_links(data, scenes)[0],
        suspects=suspects,
        odd=[OddImage(data.image(odd.position), OddKind(odd.kind), odd.reason) for odd in oddities],
        shortcut=shortcut,
        sides=sides,
        notes=notes,
        folds=int(data.folds.max()) + 1,
        methods=methods.texts(features, bool(probabilities)),
        valid_data=asked.valid_data,
        test_data=asked.test_data if data.of_side(Side.TEST) else None,
        class_folder=asked.class_folder or "",
        columns=list(asked.columns),
        value_range=asked.value_range,
    )


@contextmanager
def _progress(title: str) -> Iterator[Callable[[], object]]:
    """A progress bar of unknown length, on a terminal."""
    bar = bar_of(0, title, "step")
    try:
        yield lambda: bar.update()
    finally:
        bar.close()


def _features(data: Gathered, options: CheckOptions, device: str, has_run: bool) -> tuple[ImageFeatures | None, str]:
    """Returns the features of the images that can be decoded, or None and the reason."""
    experiment, sound = data.experiment, data.sound
    without = f"not checked: {'' if has_run else 'wrong labels, and '}images of the same scene"
    if options.features is False:
        return None, f"{without} (--no-features)"
    if options.features is None:
        if experiment.weights == "imagenet" and experiment.origin("weights") == "default" and not _on_disk(experiment):
            fix = f"--features downloads the weights of {experiment.model}"
            return None, f"{without}, because this needs features of a model ({fix})"
        if device == "cpu" and len(sound) > MOST_FEATURES:
            why = f"features of {len(sound):,} images take a long time on a CPU"
            return None, f"{without}, because {why} (--features computes them)"
    images, check = data.check.without(data.images)
    assert check.pixels is not None
    try:
        with _cache_of(data) as cache:
            return image_features(experiment, check.pixels, images.classes, cache, options.device), ""
    except HarnessError as error:
        is_typed = experiment.origin("weights") == "command line" and experiment.weights is not None
        if options.features or is_typed:
            raise
        return None, f"{without}, because {note_of(error)}"


@contextmanager
def _cache_of(data: Gathered) -> Iterator[Cache]:
    """The experiment's cache; a temporary one if the experiment does not use the cache."""
    if data.cache is not None:
        yield data.cache
        return
    with tempfile.TemporaryDirectory() as home:
        yield Cache(Path(home))


def _on_disk(experiment: Experiment) -> bool:
    return isinstance(experiment.model, str) and imagenet_on_disk(experiment.model)


def _scenes(data: Gathered, features: ImageFeatures | None, sets: NDArray[np.int64], notes: list[str]) -> list[Link]:
    if features is None:
        return []
    with _progress("comparing features") as step:
        links = scene_links(data, features, sets, step)
    if links is None:
        notes.append(
            "not checked: images of the same scene, because there are fewer than 50 images, or the features of this "
            "model do not distinguish scenes"
        )
    return links or []


def _suspects(
    data: Gathered, judge: Judge | None, features: ImageFeatures | None, groups: Groups | None
) -> tuple[list[LabelSuspect], float | None, str, list[str]]:
    """Returns suspects, the share of labels that the model agrees with, the source of the probabilities, and notes."""
    if judge is not None:
        suspects, right = suspects_of_run(data, judge)
        return suspects, right, f"out-of-fold predictions of {judge.folder.path}", []
    if features is None:
        name = data.experiment.name or "EXPERIMENT"
        return (
            [],
            None,
            "",
            [f"labels are not checked: first type harness run {name}, whose predictions this check uses"],
        )
    suspects, right, unjudged = suspects_by_features(data, features, groups)
    notes = [] if not unjudged else [f"{unjudged} labels are not checked, because their class has no other image"]
    how = "a logistic regression on the features, out of fold (5 folds; copies in one fold)"
    return suspects, right, how, notes


def _shortcut(data: Gathered, facts: list[FileFacts], groups: Groups | None) -> ShortcutRecord | None:
    """Checks training and validation images only, because test images are often stored in another way."""
    own = [i for i in range(data.judged) if facts[i].format]
    columns = shortcut_facts([facts[i] for i in own])
    labels = np.array([data.images.labels[i] for i in own], np.int64)
    shortcut = find_shortcut(columns, labels, None if groups is None else groups[own], seed=data.experiment.seed)
    if shortcut is None:
        return None
    classes = data.images.classes
    values = [
        FactShare(each.fact, each.value, classes[each.label], each.of_class, each.of_others, each.p)
        for each in shortcut.values
    ]
    accuracy = shortcut.accuracy
    numbers = (accuracy.value, list(accuracy.interval), accuracy.n, shortcut.baseline, shortcut.is_found)
    return ShortcutRecord(list(shortcut.facts), *numbers, values)
