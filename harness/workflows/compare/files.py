"""Writes the files of a comparison: two tables and two plots."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from harness.errors import storage_errors
from harness.runs.place import AGAIN, require_replaceable
from harness.util.console import only_a_picture
from harness.util.escape import cell
from harness.util.files import write_whole
from harness.workflows.compare.pair import Pair, as_dict
from harness.workflows.compare.runs import Disagreement, RunComparison

KIND = "comparison"
PAIRS, IMAGES = "comparison.csv", "images.csv"
DIFFERENCES, DISAGREEMENTS = "differences.png", "disagreements.png"
FILES = (PAIRS, IMAGES, DIFFERENCES, DISAGREEMENTS)
ELSEWHERE = "--out FOLDER, with another folder"


def write_files(found: RunComparison, folder: Path) -> tuple[list[str], list[str]]:
    """Writes FILES to a new folder, or to the folder of an earlier comparison.

    Returns:
        The names of the written files, and warnings about plots that were not drawn.

    Raises:
        UsageError: The folder contains other files.
        StorageError: The folder cannot be written.
    """
    require_replaceable(folder, KIND)
    with storage_errors(folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    write_whole(folder / AGAIN, f"{KIND}\n".encode())
    write_whole(folder / PAIRS, pairs_csv(found))
    write_whole(folder / IMAGES, images_csv(found))
    notes = _draw(found, folder)
    return [name for name in FILES if (folder / name).is_file()], notes


def pairs_csv(found: RunComparison) -> bytes:
    """A CSV with one line per pair, in UTF-8. Shares are from 0 to 1."""
    about = {side.label: (side, accuracy) for side, accuracy in zip(found.sides, found.accuracies, strict=True)}
    rows = []
    for pair in found.pairs:
        row: dict[str, Any] = {"n": found.n}
        for which, side in (("first", pair.first), ("second", pair.second)):
            accuracy = about[side.label][1]
            row |= {which: side.label, f"{which}_is": side.describe(), f"{which}_caveats": "; ".join(side.caveats)}
            row |= {f"{which}_accuracy": accuracy.value}
            row |= {f"{which}_low": accuracy.interval[0], f"{which}_high": accuracy.interval[1]}
        numbers = as_dict(pair)
        low, high = numbers.pop("interval")
        row |= {"difference": numbers.pop("difference"), "low": low, "high": high, **numbers}
        rows.append(row)
    return _csv([*rows[0]], [[*row.values()] for row in rows])


def images_csv(found: RunComparison) -> bytes:
    """A CSV with one line per image for which the sides disagree, in UTF-8."""
    labels = [side.label for side in found.sides]
    header = ["path", "true", *(f"{label}_{what}" for label in labels for what in ("said", "confidence", "right"))]
    rows = []
    for each in found.disagreements():
        answers = zip(each.said, each.confidence, each.right, strict=True)
        rows.append([each.path, each.true, *(value for answer in answers for value in answer)])
    return _csv(header, rows)


def _csv(header: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return cell(value)
    return "" if value is None else repr(value)


def _draw(found: RunComparison, folder: Path) -> list[str]:
    """Draws the plots, and returns warnings about plots that were not drawn."""
    notes: list[str] = []
    with only_a_picture():
        from harness.plots.comparison import Difference, draw_differences

        rows = [
            Difference(
                f"{pair.first.label} − {pair.second.label}",
                100 * pair.comparison.difference,
                (100 * pair.comparison.interval[0], 100 * pair.comparison.interval[1]),
                pair.better is not None,
                _verdict_text(pair),
            )
            for pair in found.pairs
        ]
        key = [
            "; ".join((f"{side.label}: {100 * accuracy.value:.1f} %, {side.describe()}", *side.caveats))
            for side, accuracy in zip(found.sides, found.accuracies, strict=True)
        ]
        count = len(found.pairs)
        about = f"on the {found.n:,} images that all of them predicted"
        about += f"; p is corrected for {count} pairs" if count > 1 else ""
        draw_differences(folder / DIFFERENCES, "differences in accuracy", about, rows, key)
    count = len(found.disputed)
    if not count:
        return ["no plot of images: their predictions do not differ"]
    with only_a_picture():
        notes += _draw_images(found, folder / DISAGREEMENTS, count)
    return notes


def _verdict_text(pair: Pair) -> str:
    more = "" if pair.more_images is None else f"; about {pair.more_images:,} more images"
    return f"{pair.short_verdict}{', unfair' if pair.unfair else more}"


def _draw_images(found: RunComparison, path: Path, count: int) -> list[str]:
    from harness.plots.comparison import Disputed, draw_disagreements
    from harness.plots.gallery import MOST

    here = [i for i, side in enumerate(found.sides) if side.folder.was_made_here]
    if not here:  # the record of a foreign run could name any file of this machine
        return ["no plot of images: images of runs from another project are not shown; images.csv lists them"]
    chosen = list(found.disagreements(MOST))
    images = []
    for each in chosen:
        answers = [
            (side.label, said, confidence, said == each.true)
            for side, said, confidence in zip(found.sides, each.said, each.confidence, strict=True)
        ]
        images.append(Disputed(each.path, each.true, _places(found, each, here), answers))
    about = f"{count:,} of {found.n:,}" + (f"; these are the first {len(chosen)}" if count > len(chosen) else "")
    drawn = draw_disagreements(path, "images with different predictions", about, images)
    if not drawn:
        folders = " or ".join(dict.fromkeys(found.sides[i].record.data.folder for i in here))
        return [f"no plot of images: they are no longer in {folders}; images.csv lists them"]
    gone = len(images) - drawn
    return (
        [f"{gone} of the {len(images)} images are grey squares, because their files are missing or have changed"]
        if gone
        else []
    )


def _places(found: RunComparison, each: Disagreement, here: list[int]) -> list[Any]:
    """The possible places of the file, from the records of runs that were made in this project."""
    from harness.plots.comparison import Place

    places = []
    for i in here:
        answered, row = found.answered[i], int(found.found.rows[i][each.row])
        record, known = answered.side.record, not answered.by_path
        fingerprint = int(answered.answers.images[row]) if known else None
        value_range = record.experiment.get("value_range")
        range_of = None if value_range is None else (float(value_range[0]), float(value_range[1]))
        places.append(Place(Path(record.data.folder), answered.answers.paths[row], fingerprint, range_of))
    return places
