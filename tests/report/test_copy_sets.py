"""The shown images of a set of copies, and the text of their links."""

from __future__ import annotations

import math

import pytest

from harness.report.copy_sets import MOST_IN_SET, ROOM, chosen, link_text, link_texts, sets_shown
from harness.report.finding import CopyGroup
from harness.runs.data_check_record import CopyKind, CopyLink
from tests.report.checked import checked, copies, image

NEAR = CopyKind.NEAR_COPY


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (CopyLink(0, 1, CopyKind.SAME_FILE, 0, 1.0), "same file"),
        (CopyLink(0, 1, CopyKind.SAME_PIXELS, transform="mirrored"), "same pixels, mirrored"),
        (CopyLink(0, 1, NEAR, 1), "near copy: 1 of 63 bits of the hash differs"),
        (CopyLink(0, 1, NEAR, None, 0.9834), "near copy: agreement of detail 0.983"),
        (
            CopyLink(0, 1, NEAR, 0, 0.99, "mirrored"),
            "near copy, mirrored: 0 of 63 bits of the hash differ, agreement of detail 0.990",
        ),
        (CopyLink(0, 1, NEAR, None, math.nan), "near copy"),
    ],
)
def test_link_text_has_the_kind_and_the_similarity(link: CopyLink, says: str) -> None:
    assert link_text(link) == says


def test_link_texts_name_the_pairs_of_more_than_two_images() -> None:
    links = [CopyLink(0, 1, CopyKind.SAME_FILE), CopyLink(2, 0, CopyKind.SAME_FILE), CopyLink(1, 3, NEAR, 4)]
    places = {0: 1, 1: 2, 2: 3}  # the fourth image is not shown
    assert link_texts(links, places, 4) == ["1 and 2, 1 and 3: same file"]
    assert link_texts(links[:1], {0: 1, 1: 2}, 2) == ["same file"]


def test_chosen_images_of_a_large_set_cover_each_class_and_split() -> None:
    images = [image(f"{i}.jpg", laid=False) for i in range(50)]
    images += [image("t.jpg", side="test", laid=False), image("l.jpg", "toad", laid=False)]
    positions = chosen(copies(images))
    assert len(positions) == MOST_IN_SET
    assert {50, 51} < {*positions}
    assert positions[:3] == [0, 1, 2]


def test_sets_shown_fit_the_room_of_the_page() -> None:
    large = copies([image(f"{i}.jpg", laid=False) for i in range(100)])
    most = ROOM[CopyGroup.OTHER]
    shown = sets_shown(checked(copies=[large] * 50), CopyGroup.OTHER)
    assert sum(len(chosen(each)) for each in shown) == most
    assert sets_shown(checked(copies=[large]), CopyGroup.SIDES) == []
