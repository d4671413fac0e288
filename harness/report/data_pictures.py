"""The images on the page of a data check: which ones are shown, and the text below each."""

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

MOST_LINKS = 4  # the most kinds of link in the text of a set
MOST_SUSPECTS = 240  # the most suspects with an image
MOST_ROWS = 1000  # the most rows of the table of suspects
MOST_ODD = 60  # the most images of each kind
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
    """Small copies of the images on a page. Each image is read once.

    Attributes:
        may_show: Whether the page shows images.
        is_gone: Whether it shows none because the folder of the images does not exist any more.

    Args:
        record: The result of the check.
        may_show: Whether images may be shown.
        step: Called after each image.
        value_range: The value range of images with more than 8 bits.
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
        """The number of images that could not be read, although the check has read them."""
        return sum(small is None for small in self._known.values())

    def text(self, text: str) -> str:
        """Returns a text of the record with short names for the folders of the images."""
        return without_folders(text, self._places)

    def item(self, image: CheckedImage) -> dict[str, Any]:
        """Returns the fields of an image for the template."""
        # a path below the folder of the images is shown whole; in other texts, parts that identify the machine are cut
        path = Markup.escape(as_text(image.path)) if _is_below(image.path) else image.path
        return {
            "path": path,
            "side": SIDE_NAMES.get(image.side, image.side),
            "label": image.label,
            "picture": self._known.get(image.path),
            "gone": image.path in self._known and self._known[image.path] is None,
        }


def _is_below(path: str) -> bool:
    """Whether a path stays in the folder of the images. The page must not show other files."""
    try:
        return bool(path_below(path))
    except SchemaError:
        return False


def _wanted(record: DataCheckRecord) -> list[str]:
    """The paths of the images to show, the most serious finding first."""
    paths: list[str] = []
    for group in CopyGroup:
        paths += [each.images[i].path for each in sets_shown(record, group) for i in chosen(each)]
    paths += [each.image.path for each in record.suspects[:MOST_SUSPECTS]]
    for kind in OddKind:
        if kind is not OddKind.UNREADABLE:
            paths += [each.image.path for each in record.odd if each.kind == kind][:MOST_ODD]
    return paths


def copy_cards(sets: Sequence[CopySet], pictures: Pictures) -> list[dict[str, Any]]:
    """Returns a card for each set of copies, with its images and the text of their links."""
    cards = []
    for each in sets:
        places = {position: number for number, position in enumerate(chosen(each), 1)}
        links = link_texts(each.links, places, len(each.images))
        cards.append(
            {
                "images": [
                    {**pictures.item(each.images[position]), "number": n if len(each.images) > 2 else 0}
                    for position, n in places.items()
                ],
                "left": len(each.images) - len(places),
                "links": links[:MOST_LINKS],
                "links_left": max(0, len(links) - MOST_LINKS),
            }
        )
    return cards


def suspect_items(suspects: Sequence[LabelSuspect], pictures: Pictures) -> list[dict[str, Any]]:
    """Returns the rows of the table of suspects. The first rows are also shown as a gallery."""
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
    """Returns the unusual images by kind, first those that cannot be decoded."""
    groups = []
    for kind, title in KINDS.items():
        of_kind = [each for each in odd if each.kind == kind]
        if of_kind:
            items = [{**pictures.item(each.image), "reason": pictures.text(each.reason)} for each in of_kind[:MOST_ODD]]
            groups.append(
                {
                    "title": title,
                    "n": len(of_kind),
                    "items": items,
                    "left": len(of_kind) - len(items),
                    "flat": kind is OddKind.NARROW,
                    "readable": kind is not OddKind.UNREADABLE,
                }
            )
    return groups
