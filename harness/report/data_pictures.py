"""The pictures of a data check's page: which of them are shown, and what stands below each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.data.depth import Range
from harness.report.copy_sets import chosen, link_texts, sets_shown
from harness.report.finding import SIDE_NAMES, CopyGroup
from harness.report.gallery import MOST_BYTES
from harness.report.texts import percent, without_folders
from harness.report.thumbnails import Thumbnail, thumbnails_within
from harness.runs.data_check_record import (
    CheckedImage,
    CopySet,
    DataCheckRecord,
    LabelSuspect,
    OddImage,
    OddKind,
)
from harness.util.files import as_text, is_folder
from harness.util.schema import SchemaError, path_below

MOST_LINKS = 4  # kinds of link that are named below a set
MOST_SUSPECTS = 240  # with a picture
MOST_ROWS = 1000  # of the table of suspects
MOST_ODD = 60  # of each kind
KINDS = {
    OddKind.UNREADABLE: "Cannot be decoded",
    OddKind.BLANK: "Blank",
    OddKind.DARK: "Dark",
    OddKind.BRIGHT: "Bright",
    OddKind.BLURRED: "Blurred",
    OddKind.SMALL: "Small",
    OddKind.LARGE: "Large",
    OddKind.NARROW: "Narrow",
}


class Pictures:
    """Small copies of the images that a page may show, read once each.

    Attributes:
        may_show: Whether there are any.
        is_gone: Whether there are none because the folder of the images is not there any more.

    Args:
        record: What was found.
        may_show: Whether any may be shown.
        step: Called after each image.
        value_range: Of images with more than 8 bits.
    """

    def __init__(
        self,
        record: DataCheckRecord,
        may_show: bool,
        step: Callable[[], object] = lambda: None,
        value_range: Range | None = None,
    ) -> None:
        self._places = [record.name, record.data, record.folder]
        root = Path(record.folder)
        self.is_gone = may_show and not is_folder(root)
        self.may_show = may_show and not self.is_gone
        self._known: dict[str, Thumbnail | None] = {}
        if self.may_show:
            paths = [path for path in _wanted(record) if _is_below(path)]
            self._known = thumbnails_within(MOST_BYTES, root, paths, value_range, step)

    @property
    def unread(self) -> int:
        """Number of images that could not be read, though the check did not say so."""
        return sum(small is None for small in self._known.values())

    def text(self, text: str) -> str:
        """A text of the record, in which the folders of the images are shortened."""
        return without_folders(text, self._places)

    def item(self, image: CheckedImage) -> dict[str, Any]:
        """What the template needs of an image."""
        # a path below the folder of the images may be shown whole; any other text loses what says whose machine it was
        path = Markup.escape(as_text(image.path)) if _is_below(image.path) else image.path
        return {
            "path": path,
            "side": SIDE_NAMES.get(image.side, image.side),
            "label": image.label,
            "picture": self._known.get(image.path),
            "gone": image.path in self._known and self._known[image.path] is None,
        }


def _is_below(path: str) -> bool:
    """Whether a path stays in the folder of the images: no picture from anywhere else is copied into a page."""
    try:
        return bool(path_below(path))
    except SchemaError:
        return False


def _wanted(record: DataCheckRecord) -> list[str]:
    """Paths of the pictures to show, the gravest finding first."""
    paths: list[str] = []
    for group in CopyGroup:
        paths += [each.images[i].path for each in sets_shown(record, group) for i in chosen(each)]
    paths += [each.image.path for each in record.suspects[:MOST_SUSPECTS]]
    for kind in OddKind:
        if kind is not OddKind.UNREADABLE:
            paths += [each.image.path for each in record.odd if each.kind == kind][:MOST_ODD]
    return paths


def copy_cards(sets: Sequence[CopySet], pictures: Pictures) -> list[dict[str, Any]]:
    """A card for each set of copies: its images beside each other, and how they are linked."""
    cards = []
    for found in sets:
        places = {position: number for number, position in enumerate(chosen(found), 1)}
        links = link_texts(found.links, places, len(found.images))
        cards.append(
            {
                "images": [
                    {**pictures.item(found.images[position]), "number": n if len(found.images) > 2 else 0}
                    for position, n in places.items()
                ],
                "left": len(found.images) - len(places),
                "links": links[:MOST_LINKS],
                "links_left": max(0, len(links) - MOST_LINKS),
            }
        )
    return cards


def suspect_items(suspects: Sequence[LabelSuspect], pictures: Pictures) -> list[dict[str, Any]]:
    """The rows of the table of suspects; the first ones are also the gallery."""
    return [
        {
            **pictures.item(each.image),
            "likely": each.likely,
            "given": percent(each.given_probability),
            "given_share": each.given_probability,
            "sure": percent(each.likely_probability),
            "sure_share": each.likely_probability,
            "reason": pictures.text(each.reason),
        }
        for each in suspects[:MOST_ROWS]
    ]


def odd_groups(odd: Sequence[OddImage], pictures: Pictures) -> list[dict[str, Any]]:
    """The odd images by kind, those that cannot be decoded first."""
    groups = []
    for kind, title in KINDS.items():
        found = [each for each in odd if each.kind == kind]
        if found:
            items = [{**pictures.item(each.image), "reason": pictures.text(each.reason)} for each in found[:MOST_ODD]]
            groups.append(
                {
                    "title": title,
                    "n": len(found),
                    "items": items,
                    "left": len(found) - len(items),
                    "flat": kind is OddKind.NARROW,
                    "readable": kind is not OddKind.UNREADABLE,
                }
            )
    return groups
