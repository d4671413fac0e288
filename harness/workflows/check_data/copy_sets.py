"""Collects sets of copies and of images of the same scene, and says how they affect a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.data.copies import Copies
from harness.data.images import Side
from harness.evaluation.same_scene import SameScene, find_same_scenes
from harness.runs.data_check_record import CopyKind, CopyLink, CopySet
from harness.training.image_features import ImageFeatures
from harness.workflows.check_data.gather import Gathered

Link = tuple[int, int, CopyLink]  # positions of two images, and their link with the places 0 and 1

MOST_SETS = 5000  # largest number of sets that are listed
MOST_IMAGES = 5000  # largest number of images of a set that are listed
COPIED_CLASS = 0.8  # a class is copied if at least this share of its images is


def copy_links(data: Gathered, copies: Copies) -> list[Link]:
    """The pairs of copies: each image with the first one that has the same pixels, and the near copies."""
    hashes, links = data.check.hashes, []
    for first, members in copies.members.items():
        for other in members[1:]:
            kind = CopyKind.SAME_FILE if hashes[other] == hashes[first] else CopyKind.SAME_PIXELS
            links.append((first, other, CopyLink(0, 1, kind)))
    for pair in copies.near:
        agreement = round(pair.agreement, 3)
        links.append((pair.first, pair.second, CopyLink(0, 1, CopyKind.NEAR_COPY, pair.bits, agreement, pair.turn)))
    return links


def scene_links(
    data: Gathered, features: ImageFeatures, sets: NDArray[np.int64], step: Callable[[], object]
) -> list[Link] | None:
    """Pairs that probably show the same scene and are not copies; None if the features cannot distinguish scenes.

    Args:
        data: All images.
        features: Of the images that can be decoded, in their order.
        sets: (N,) the number of the set of copies that each image is in.
        step: Called after each step, for a progress bar.
    """
    sound = np.array(data.sound)
    _, firsts = np.unique(sets[sound], return_index=True)  # one image of each set
    firsts = np.sort(firsts)
    places = {int(place): new for new, place in enumerate(firsts)}
    sampled = [i for i, place in enumerate(features.sample.tolist()) if place in places]
    sample = np.array([places[int(features.sample[i])] for i in sampled], np.int64)
    if not len(sample):
        return None
    scenes = find_same_scenes(features.values[firsts], sample, features.mirrored[sampled], step)
    if scenes is None:
        return None
    return [_scene_link(pair, sound[firsts]) for pair in scenes]


def _scene_link(pair: SameScene, images: NDArray[np.int64]) -> Link:
    link = CopyLink(0, 1, CopyKind.SAME_SCENE, similarity=round(pair.cosine, 3))
    return int(images[pair.first]), int(images[pair.second]), link


def numbers_of_sets(count: int, links: Iterable[Link]) -> NDArray[np.int64]:
    """(N,) the number of each image's set. Images of a set are linked, directly or through others."""
    pairs = np.array([(first, second) for first, second, _ in links], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def sets_of_links(data: Gathered, links: Sequence[Link]) -> tuple[list[CopySet], int]:
    """Returns the sets, the most serious first, and the number of sets that are left out."""
    numbers = numbers_of_sets(len(data.images), links)
    by_set: dict[int, list[Link]] = {}
    for link in links:
        by_set.setdefault(int(numbers[link[0]]), []).append(link)
    sets = sorted((_set(data, own) for own in by_set.values()), key=_order)
    return sets[:MOST_SETS], max(0, len(sets) - MOST_SETS)


def _set(data: Gathered, links: Sequence[Link]) -> CopySet:
    images = sorted({image for first, second, _ in links for image in (first, second)})
    labels = {data.images.labels[i] for i in images}
    sides = {data.sides[i] for i in images}
    folds = {int(data.folds[i]) for i in images} - {-1}
    listed = _listed(data, images)
    places = {image: place for place, image in enumerate(listed)}
    own = [
        CopyLink(places[first], places[second], link.kind, link.bits, link.similarity, link.transform)
        for first, second, link in links
        if first in places and second in places
    ]
    several = (len(labels) > 1, len(sides) > 1, len(folds) > 1)
    return CopySet([data.image(i) for i in listed], own, *several, count=len(images))


def copied_images(data: Gathered, copies: Copies) -> dict[str, int]:
    """Split -> number of its images that are exact or near copies of a training image."""
    training = data.of_side(Side.TRAIN)
    firsts = {int(copies.first[i]) for i in training} - {-1}
    counts = {}
    for side in (Side.VALID, Side.TEST):
        judged = data.of_side(side)
        exact = {i for i in judged if int(copies.first[i]) in firsts}
        if judged:
            counts[side.value] = len(exact.union(copies.partners_across(judged, training)))
    return counts


def copied_classes(data: Gathered, sets: Sequence[CopySet]) -> list[str]:
    """Warnings about classes whose images are nearly all copies of another class."""
    counts = data.images.counts()
    shared: Counter[tuple[str, str]] = Counter()
    for found in sets:
        labels = Counter(image.label for image in found.images)
        shared.update({(one, other): n for one, n in labels.items() for other in labels if one != other})
    return [
        f"{n} of {counts[one]} images of class {one} are copies of images of class {other}: was the folder copied?"
        for (one, other), n in shared.items()
        if n >= COPIED_CLASS * counts[one] and (counts[one], one) <= (counts[other], other)
    ]


def _listed(data: Gathered, images: list[int]) -> list[int]:
    """At most `MOST_IMAGES` of them, taken in turn from each split and class."""
    if len(images) <= MOST_IMAGES:
        return images
    turns: dict[tuple[Side, int], list[int]] = {}
    for i in images:
        turns.setdefault((data.sides[i], data.images.labels[i]), []).append(i)
    ranked = sorted((rank, i) for members in turns.values() for rank, i in enumerate(members))
    return sorted(i for _, i in ranked[:MOST_IMAGES])


def _order(found: CopySet) -> tuple[bool, bool, bool, bool, int, str]:
    worst = (not found.is_contradiction, not found.between_sides, not found.between_folds)
    return (*worst, not found.is_exact, -found.size, found.images[0].path)
