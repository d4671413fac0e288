"""What a check of the data found, image by image, and what to do about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.runs.data_check_record import (
    CheckedImage,
    CopyKind,
    CopyLink,
    CopySet,
    DataCheckRecord,
    LabelSuspect,
    OddKind,
)
from harness.workflows.fixes.links import link_text
from harness.workflows.fixes.rows import MOVE, REMOVE

RANK = {"test": 0, "valid": 1}  # of two copies, the one of the test stays, since its result must stay comparable
NAMED = 5  # copies that a cell names
LEAST_RIGHT = 0.8  # share of the labels that a model must agree with before its word suggests another label
SURE = 0.9  # probability that a likely label must have for that
SMALL_CLASS = 10  # images: from a smaller class nothing is suggested to be moved
NUMBERED = re.compile(
    r"(\(\d+\)|[ _-](copy|kopie|copie)( ?\d+)?)\.[^.]+$", re.IGNORECASE
)  # "a (1).jpg", "a - copy.jpg"

Key = tuple[str, str]  # side and path: one file may be on two sides of a table
Links = dict[int, dict[int, CopyLink]]  # position in a set -> position of a copy -> how the two are alike


@dataclass
class Finding:
    """All that was found about one image; `suggestion` is empty if only a person can say what to do."""

    image: CheckedImage
    likely: str = ""
    reasons: list[str] = field(default_factory=list)
    copy_of: str = ""
    suggestion: str = ""


def findings_of(record: DataCheckRecord) -> list[Finding]:
    """The images that the check names, each once: copies first, then label suspects, then odd images."""
    found: dict[Key, Finding] = {}

    def about(image: CheckedImage) -> Finding:
        return found.setdefault(_key(image), Finding(image))

    doubtful = {_key(suspect.image) for suspect in record.suspects}
    doubtful |= {_key(odd.image) for odd in record.odd}  # of two copies the sharp one stays, and the large one
    links = {_key(image) for copies in record.copies for image in copies.images if _is_link(record, image)}
    contradicted: set[Key] = set()
    for copies in record.copies:
        linked = _linked(copies)
        kept = _kept(copies, linked, doubtful, links)
        for position, image in enumerate(copies.images):
            finding = about(image)
            finding.reasons += _reasons(copies, position, linked[position])
            if copies.is_contradiction:
                contradicted.add(_key(image))
                finding.copy_of = _others(copies, position)
            elif position in kept:
                finding.copy_of = finding.copy_of or _others(copies, position)
            else:
                finding.copy_of = copies.images[min(kept & linked[position].keys())].path
                finding.suggestion = REMOVE
    for suspect in record.suspects:
        finding = about(suspect.image)
        finding.likely = suspect.likely
        given, likely = suspect.given_probability, suspect.likely_probability
        finding.reasons.append(f"label suspect: {suspect.likely} {likely:.2f}, {suspect.image.label} {given:.2f}")
        if suspect.image.side == "test":
            finding.reasons.append("look yourself: test labels that are changed to what a model says flatter the model")
        elif _is_worth_a_word(record, suspect):
            finding.suggestion = finding.suggestion or f"{MOVE} {suspect.likely}"
    for odd in record.odd:
        finding = about(odd.image)
        finding.reasons.append(f"{odd.kind}: {odd.reason}" if odd.reason else str(odd.kind))
        if odd.kind is OddKind.UNREADABLE or (odd.kind is OddKind.BLANK and odd.image.side != "test"):
            finding.suggestion = REMOVE
    for key in contradicted:
        if found[key].suggestion != REMOVE:
            found[key].suggestion = ""
    return list(found.values())


def _is_worth_a_word(record: DataCheckRecord, suspect: LabelSuspect) -> bool:
    """Whether a model that is mostly right is sure of another label, and the class does not lose much by it."""
    size = record.counts.get(suspect.image.side, {}).get(suspect.image.label, SMALL_CLASS)
    is_sure = suspect.likely_probability >= SURE and (record.right is None or record.right >= LEAST_RIGHT)
    return is_sure and size >= SMALL_CLASS


def _key(image: CheckedImage) -> Key:
    return image.side, image.path


def _is_link(record: DataCheckRecord, image: CheckedImage) -> bool:
    return link_text(Path(record.folder, image.path)) is not None


def _kept(copies: CopySet, linked: Links, doubtful: Collection[Key], links: Collection[Key]) -> set[int]:
    """The positions of a set's images that stay: all of the test, and of the others none that is a copy of one that
    stays. An image with many copies is chosen before one with few, so that few stay; a file before a link, which may
    lead to it.
    """

    def order(position: int) -> tuple[int, bool, bool, bool, int, str]:
        image = copies.images[position]
        key, is_second = _key(image), NUMBERED.search(image.path) is not None
        return RANK.get(image.side, 2), key in doubtful, key in links, is_second, -len(linked[position]), image.path

    kept: set[int] = set()
    for position in sorted(range(len(copies.images)), key=order):
        if copies.images[position].side == "test" or not kept & linked[position].keys():
            kept.add(position)
    return kept


def _linked(copies: CopySet) -> Links:
    """The links of each image. One with the same pixels as another has its links, too."""
    linked: Links = defaultdict(dict)
    same: dict[int, set[int]] = defaultdict(set)
    for link in copies.links:
        linked[link.first][link.second] = linked[link.second][link.first] = link
        if link.kind in (CopyKind.SAME_FILE, CopyKind.SAME_PIXELS):
            for one, other in ((link.first, link.second), (link.second, link.first)):
                same[one].add(other)
    for twins in list(same.items()):
        for other, link in list(linked[twins[0]].items()):
            for twin in twins[1] - {other}:
                linked[twin].setdefault(other, link)
                linked[other].setdefault(twin, link)
    return linked


def _reasons(copies: CopySet, position: int, linked: Mapping[int, CopyLink]) -> Iterator[str]:
    """Which images it is a copy of, and if labels differ, which."""
    own = copies.images[position]
    links = sorted(linked.items())
    for other, link in links[:NAMED]:
        image = copies.images[other]
        transform = f" ({link.transform})" if link.transform else ""
        side = f", on the side {image.side}" if image.side != own.side else ""
        yield f"{_kind_text(link)} of {image.path}{transform}{side}"
    if len(links) > NAMED:
        yield f"and of {len(links) - NAMED} more"
    if copies.is_contradiction:
        labels = sorted({image.label for image in copies.images})
        yield f"contradiction: copies with the labels {' and '.join(labels)}, and nobody but you can say which is right"


def _kind_text(link: CopyLink) -> str:
    return str(link.kind) if "copy" in str(link.kind) else f"copy ({link.kind})"


def _others(copies: CopySet, position: int) -> str:
    paths = [image.path for other, image in enumerate(copies.images) if other != position]
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return "; ".join(paths[:NAMED]) + more
