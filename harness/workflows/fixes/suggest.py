"""Lists the findings of a data check by image, and suggests an action for each."""

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

RANK = {"test": 0, "valid": 1}  # of two copies, the test image stays, so that test results remain comparable
NAMED = 5  # number of copies listed in a cell
LEAST_RIGHT = 0.8  # share of labels that a model must agree with, so that its predictions suggest other labels
SURE = 0.9  # probability of the likely label from which it is suggested
SMALL_CLASS = 10  # number of images; no image of a smaller class is suggested to be moved
NUMBERED = re.compile(
    r"(\(\d+\)|[ _-](copy|kopie|copie)( ?\d+)?)\.[^.]+$", re.IGNORECASE
)  # "a (1).jpg", "a - copy.jpg"

Key = tuple[str, str]  # split and path: a table may have one file in two splits
Links = dict[int, dict[int, CopyLink]]  # position in a set -> position of a copy -> their link


@dataclass
class Finding:
    """All findings about one image. `suggestion` is empty if a person must decide."""

    image: CheckedImage
    likely: str = ""
    reasons: list[str] = field(default_factory=list)
    copy_of: str = ""
    suggestion: str = ""


def findings_of(record: DataCheckRecord) -> list[Finding]:
    """One finding for each image that the check names: copies first, then label suspects, then odd images."""
    findings: dict[Key, Finding] = {}

    def about(image: CheckedImage) -> Finding:
        return findings.setdefault(_key(image), Finding(image))

    doubtful = {_key(suspect.image) for suspect in record.suspects}
    doubtful |= {_key(odd.image) for odd in record.odd}  # of two copies, a blurred or small one does not stay
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
            finding.reasons.append(
                "decide yourself: test labels that are changed to a model's predictions make its test too good"
            )
        elif _is_confident(record, suspect):
            finding.suggestion = finding.suggestion or f"{MOVE} {suspect.likely}"
    for odd in record.odd:
        finding = about(odd.image)
        finding.reasons.append(f"{odd.kind}: {odd.reason}" if odd.reason else str(odd.kind))
        if odd.kind is OddKind.UNREADABLE or (odd.kind is OddKind.BLANK and odd.image.side != "test"):
            finding.suggestion = REMOVE
    for key in contradicted:
        if findings[key].suggestion != REMOVE:
            findings[key].suggestion = ""
    return list(findings.values())


def _is_confident(record: DataCheckRecord, suspect: LabelSuspect) -> bool:
    """Whether an accurate model is confident of another label, and the class has enough images to lose one."""
    size = record.counts.get(suspect.image.side, {}).get(suspect.image.label, SMALL_CLASS)
    is_sure = suspect.likely_probability >= SURE and (record.right is None or record.right >= LEAST_RIGHT)
    return is_sure and size >= SMALL_CLASS


def _key(image: CheckedImage) -> Key:
    return image.side, image.path


def _is_link(record: DataCheckRecord, image: CheckedImage) -> bool:
    return link_text(Path(record.folder, image.path)) is not None


def _kept(copies: CopySet, linked: Links, doubtful: Collection[Key], links: Collection[Key]) -> set[int]:
    """Returns the positions of the images of a set that stay.

    All test images stay. Another image stays if it is not a copy of one that stays. Images with many copies are
    chosen first, so that few stay, and files before links, which may point to them.
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
    """Returns, for each image, its copies and how they are linked. Images with equal pixels have the same copies."""
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
    """Says which images it is a copy of, and which labels differ."""
    own = copies.images[position]
    links = sorted(linked.items())
    for other, link in links[:NAMED]:
        image = copies.images[other]
        transform = f" ({link.transform})" if link.transform else ""
        side = f", in the {image.side} split" if image.side != own.side else ""
        yield f"{_kind_text(link)} of {image.path}{transform}{side}"
    if len(links) > NAMED:
        yield f"and of {len(links) - NAMED} more"
    if copies.is_contradiction:
        labels = sorted({image.label for image in copies.images})
        yield f"contradiction: copies with the labels {' and '.join(labels)}; decide yourself which is right"


def _kind_text(link: CopyLink) -> str:
    return str(link.kind) if "copy" in str(link.kind) else f"copy ({link.kind})"


def _others(copies: CopySet, position: int) -> str:
    paths = [image.path for other, image in enumerate(copies.images) if other != position]
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return "; ".join(paths[:NAMED]) + more
