"""A comparison of runs, for people."""

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
COLUMNS = 4  # sides whose answers get a column each


def report(found: RunComparison, out: str | None, written: Sequence[str], notes: Sequence[str]) -> list[str]:
    """All lines."""
    count, groups = len(found.sides), found.accuracies[0].groups
    images = f"{found.n:,} images" + (f", in {groups:,} groups," if groups else "")
    return [
        f"{count} compared, on the {images} that {'both' if count == 2 else 'all'} have predicted",
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
    lines = [f"{'':<{width}}accuracy  95 % interval   what it is"]
    for side, accuracy in zip(found.sides, found.accuracies, strict=True):
        low, high = (100 * bound for bound in accuracy.interval)
        interval = f"{low:.1f} to {high:.1f} %"
        line = f"  {side.label:<{width - 2}}{100 * accuracy.value:5.1f} %   {interval:<14}  "
        parts = [side.describe(), *side.caveats]
        lines += _hanging(line, "; ".join(parts))
    return lines


def _settings(found: RunComparison) -> list[str]:
    """The settings that differ, a column each; nothing if none does."""
    names = [*found.settings][:SETTINGS]
    if not names:
        return ["", "  no setting differs"]
    columns = [[short(name, 20), *(_value(value) for value in found.settings[name])] for name in names]
    rows = _table([["", *(side.label for side in found.sides)], *columns])
    others = [*found.settings][SETTINGS:]
    more = [f"  also different: {few(others, 8)} (--json shows all)"] if others else []
    return ["", "  settings that differ", *rows, *more]


def _pairs(found: RunComparison) -> list[str]:
    """A row for each pair; the sentence of a single one on its own line."""
    decimals = 1 if found.n < 10_000 else 2
    columns: list[list[str]] = [["pair"], ["points"], ["95 % interval"], ["alone right"], ["verdict"], ["more images"]]
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
    return [*_table(columns), "  more images: about as many would be needed to see a difference of this size"]


def _images(found: RunComparison, out: str | None) -> list[str]:
    count = len(found.disputed)
    if not count:
        return ["they say the same of every image"]
    where = found.sides[0].record.data.folder
    title = f"they disagree about {count:,} of {found.n:,} images of {where}"
    shown = list(found.disagreements(IMAGES))
    rows = _columns(found, shown) if len(found.sides) <= COLUMNS else [_by_class(found, each) for each in shown]
    if count > len(shown):
        title += f"; the first {len(shown)} are"
    hint = [f"  --out FOLDER writes all {count:,} of them"] if out is None and count > len(shown) else []
    return [title, *rows, *hint]


def _columns(found: RunComparison, shown: Sequence[Disagreement]) -> list[str]:
    columns = [["image", *(short(each.path, 34) for each in shown)], ["is", *(short(each.true, 12) for each in shown)]]
    for i, side in enumerate(found.sides):
        said = [f"{short(each.said[i], 12)} {100 * each.confidence[i]:.0f} %" for each in shown]
        columns.append([f"{side.label} says", *said])
    return _table(columns)


def _by_class(found: RunComparison, each: Disagreement) -> str:
    """Which sides say which class, where there is no room for a column each."""
    by_class: dict[str, list[str]] = {}
    for side, name in zip(found.sides, each.said, strict=True):
        by_class.setdefault(name, []).append(side.label)
    said = ", ".join(f"{short(name, 12)} by {' '.join(labels)}" for name, labels in by_class.items())
    return f"  {short(each.path, 34):<34}  is {short(each.true, 12)}; {said}"


def _table(columns: Sequence[Sequence[str]]) -> list[str]:
    """Lines, two spaces between the columns."""
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]


def _wrapped(name: str, text: str) -> list[str]:
    return _hanging(f"{name:<9}", text)


def _hanging(start: str, text: str) -> list[str]:
    """The text after its start, on lines of WIDTH characters, each below the first letter of the text."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    ) or [start.rstrip()]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else short(str(value), 24)
