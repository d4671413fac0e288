"""The printed text of a comparison of runs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.util.files import short
from harness.util.text import few

if TYPE_CHECKING:
    from harness.workflows.compare.runs import Disagreement, RunComparison

WIDTH = 100
SETTINGS = 6  # columns of settings that differ
IMAGES = 10  # lines of images
COLUMNS = 4  # the most results whose predictions get a column each


def report(found: RunComparison, out: str | None, written: Sequence[str], notes: Sequence[str]) -> list[str]:
    """Returns all lines of the comparison."""
    count, groups = len(found.sides), found.accuracies[0].groups
    images = f"{found.n:,} images" + (f", in {groups:,} groups," if groups else "")
    return [
        f"{count} results compared, on the {images} that {'both' if count == 2 else 'all'} have predictions for",
        "",
        *_sides(found),
        *_settings(found),
        "",
        *_pairs(found),
        "",
        *_images(found, out),
        "",
        *(line for note in (*found.notes, *notes) for line in _wrapped("note", note)),
        *(_wrapped("written", f"{out}: {', '.join(written)}") if out else []),
    ]


def _sides(found: RunComparison) -> list[str]:
    width = max(5, *(len(side.label) + 2 for side in found.sides))
    lines = [f"{'':<{width}}accuracy  95 % interval   result"]
    for side, accuracy in zip(found.sides, found.accuracies, strict=True):
        low, high = (100 * bound for bound in accuracy.interval)
        interval = f"{low:.1f} to {high:.1f} %"
        line = f"  {side.label:<{width - 2}}{100 * accuracy.value:5.1f} %   {interval:<14}  "
        parts = [side.describe(), *side.caveats]
        lines += _hanging(line, "; ".join(parts))
    return lines


def _settings(found: RunComparison) -> list[str]:
    """The settings that differ, one column each."""
    names = [*found.settings][:SETTINGS]
    if not names:
        return ["", "  all settings are the same"]
    columns = [[short(name, 20), *(_value(value) for value in found.settings[name])] for name in names]
    rows = _table([["", *(side.label for side in found.sides)], *columns])
    others = [*found.settings][SETTINGS:]
    more = [f"  also different: {few(others, 8)} (--json shows all)"] if others else []
    return ["", "  settings that differ", *rows, *more]


def _pairs(found: RunComparison) -> list[str]:
    """A row for each pair. The verdict of a single pair has its own line, because it is a sentence."""
    decimals = 1 if found.n < 10_000 else 2
    columns: list[list[str]] = [
        ["pair"],
        ["points"],
        ["95 % interval"],
        ["only one right"],
        ["verdict"],
        ["more images"],
    ]
    for pair in found.pairs:
        low, high = (100 * bound for bound in pair.comparison.interval)
        cells = (
            f"{pair.first.label} - {pair.second.label}",
            f"{100 * pair.comparison.difference:+.{decimals}f}",
            f"{low:+.{decimals}f} to {high:+.{decimals}f}",
            f"{pair.comparison.better:,} : {pair.comparison.worse:,}",
            pair.short_verdict + (", unfair" if pair.unfair else ""),
            "" if pair.more_images is None else f"{pair.more_images:,}",
        )
        for column, text in zip(columns, cells, strict=True):
            column.append(text)
    if len(found.pairs) == 1:
        return [*_table(columns[:4]), *_hanging("  ", found.pairs[0].verdict())]
    if not any(columns[-1][1:]):
        return _table(columns[:-1])
    return [*_table(columns), "  more images: about how many more would show a difference of this size"]


def _images(found: RunComparison, out: str | None) -> list[str]:
    count = len(found.disputed)
    if not count:
        return ["all predict the same class for every image"]
    where = found.sides[0].record.data.folder
    title = f"they disagree about {count:,} of {found.n:,} images of {where}"
    images = list(found.disagreements(IMAGES))
    rows = _columns(found, images) if len(found.sides) <= COLUMNS else [_by_class(found, each) for each in images]
    if count > len(images):
        title += f"; the first {len(images)}:"
    hint = [f"  --out FOLDER writes all {count:,} of them"] if out is None and count > len(images) else []
    return [title, *rows, *hint]


def _columns(found: RunComparison, images: Sequence[Disagreement]) -> list[str]:
    columns = [
        ["image", *(short(each.path, 34) for each in images)],
        ["true class", *(short(each.true, 12) for each in images)],
    ]
    for i, side in enumerate(found.sides):
        predicted = [f"{short(each.said[i], 12)} {100 * each.confidence[i]:.0f} %" for each in images]
        columns.append([f"{side.label} predicts", *predicted])
    return _table(columns)


def _by_class(found: RunComparison, each: Disagreement) -> str:
    """Lists the results by predicted class, if they are too many for one column each."""
    by_class: dict[str, list[str]] = {}
    for side, name in zip(found.sides, each.said, strict=True):
        by_class.setdefault(name, []).append(side.label)
    said = ", ".join(f"{short(name, 12)} by {' '.join(labels)}" for name, labels in by_class.items())
    return f"  {short(each.path, 34):<34}  true class {short(each.true, 12)}; predicted {said}"


def _table(columns: Sequence[Sequence[str]]) -> list[str]:
    """Lines with two spaces between the columns."""
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]


def _wrapped(name: str, text: str) -> list[str]:
    return _hanging(f"{name:<9}", text)


def _hanging(start: str, text: str) -> list[str]:
    """Wraps the text to WIDTH columns after `start`. The later lines are indented to the first letter of the text."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    ) or [start.rstrip()]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else short(str(value), 24)
