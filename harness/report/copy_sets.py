"""Sets of copies on a page: which sets and images are shown, and the text of their links."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.report.finding import CopyGroup
from harness.runs.data_check_record import CopyKind, CopyLink, CopySet, DataCheckRecord
from harness.util.text import few

MOST_IN_SET = 8  # the most images of a set
ROOM = {  # the most images of each group, so that a group with many sets leaves room for the others
    CopyGroup.CONTRADICTION: 240,
    CopyGroup.SIDES: 240,
    CopyGroup.FOLDS: 120,
    CopyGroup.OTHER: 120,
    CopyGroup.SCENE: 120,
}
HASH_BITS = 63


def sets_shown(record: DataCheckRecord, group: CopyGroup) -> list[CopySet]:
    """Returns the sets of a group that the page has room for."""
    sets, images = [], 0
    for each in record.sets:
        if CopyGroup.of(each) is group:
            images += min(len(each.images), MOST_IN_SET)
            if images > ROOM[group]:
                break
            sets.append(each)
    return sets


def chosen(found: CopySet) -> list[int]:
    """Returns positions of the images to show: first one of each class and split, then a second one of each."""
    seen: dict[tuple[str, str], int] = {}
    ranked = []
    for position, image in enumerate(found.images):
        key = (image.label, image.side)
        seen[key] = seen.get(key, 0) + 1
        ranked.append((seen[key], position))
    return sorted(position for _, position in sorted(ranked)[:MOST_IN_SET])


def link_texts(links: Iterable[CopyLink], places: dict[int, int], images: int) -> list[str]:
    """Returns texts such as `1 and 2, 1 and 3: same pixels`. For a set of two images, without the numbers."""
    pairs: dict[str, list[str]] = {}
    for link in links:
        if link.first in places and link.second in places:
            numbers = sorted((places[link.first], places[link.second]))
            pairs.setdefault(link_text(link), []).append(f"{numbers[0]} and {numbers[1]}")
    if images <= 2:
        return list(pairs)
    return [f"{few(which, 6)}: {text}" for text, which in pairs.items()]


def link_text(link: CopyLink) -> str:
    """`near copy, mirrored: 3 of 63 bits of the hash differ, agreement of detail 0.981`."""
    head = f"{link.kind.value}{f', {link.transform}' if link.transform else ''}"
    if link.kind in (CopyKind.SAME_FILE, CopyKind.SAME_PIXELS):
        return head
    measure = "agreement of detail" if link.kind == CopyKind.NEAR_COPY else "cosine of the features"
    facts = []
    if link.bits is not None:
        verb = "differs" if link.bits == 1 else "differ"
        facts.append(f"{link.bits} of {HASH_BITS} bits of the hash {verb}")
    if link.similarity is not None and math.isfinite(link.similarity):
        facts.append(f"{measure} {link.similarity:.3f}")
    return f"{head}: {', '.join(facts)}" if facts else head
