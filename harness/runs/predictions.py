"""Predictions on disk: one array file per fold, which harness reads, and a table of them for users.

predictions/fold1.npz     paths, labels, probabilities and more of one fold, written when the fold has ended
predictions.csv           one line per image of all folds so far; predictions.parquet if there are more than CELLS
                          probabilities
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.predictions import Predictions
from harness.util.escape import cell, from_cell
from harness.util.files import write_whole
from harness.util.schema import SchemaError, path_below

FOLDER = "predictions"
CSV, PARQUET = "predictions.csv", "predictions.parquet"
COLUMNS = ["path", "fold", "label", "predicted"]
CELLS = 2_000_000  # the most probabilities in a CSV file, about 40 MB; a larger table is written as Parquet
ROWS = 10_000  # rows of a table that are turned into Python objects at a time
ARRAYS = ("classes", "paths", "labels", "probabilities")
OPTIONAL = (
    "groups",
    "fingerprints",
)  # arrays of whole numbers, and columns of the table, that not all predictions have


def write_array_file(path: Path, predictions: Predictions) -> None:
    """Writes the predictions of one fold as a `.npz` file, atomically. Raises StorageError."""
    content = io.BytesIO()
    np.savez(
        content,
        classes=_joined(predictions.classes),
        paths=_joined(predictions.paths),
        labels=predictions.labels,
        probabilities=predictions.probabilities,
        **_optional([predictions]),
    )
    write_whole(path, content.getbuffer())


def read_array_file(path: Path, fold: int) -> Predictions:
    """Reads a file of `write_array_file`. The file is not trusted, so no code in it is executed.

    Raises:
        SchemaError: The file has other contents.
        OSError: The file cannot be read.
    """
    try:
        arrays = _arrays(path)
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise SchemaError(f"it is not an array file of predictions: {error}") from error
    classes, paths = _parted(arrays["classes"]), tuple(map(path_below, _parted(arrays["paths"])))
    labels, probabilities = arrays["labels"], arrays["probabilities"]
    optional = {name: arrays[name] for name in OPTIONAL if name in arrays}
    if labels.dtype != np.int64 or probabilities.dtype != np.float64 or probabilities.ndim != 2:
        raise SchemaError("labels or probabilities have another dtype")
    for name, values in optional.items():
        if values.dtype != np.int64:
            raise SchemaError(f"{name} have another dtype")
    try:
        predictions = Predictions(classes, paths, np.full(len(paths), fold), labels, probabilities, **optional)
    except ValueError as error:
        raise SchemaError(str(error)) from error
    return _checked(predictions)


def write_table(folder: Path, parts: Sequence[Predictions]) -> None:
    """Writes the table of all `parts` as CSV, or as Parquet if there are more than CELLS probabilities.

    The columns are path, fold, label, predicted, groups (if images are not independent), fingerprints, and `p_<class>`
    for each class. Raises StorageError.
    """
    if sum(part.probabilities.size for part in parts) <= CELLS:
        write_whole(folder / CSV, predictions_csv(parts))
        return
    write_whole(folder / PARQUET, _parquet(parts))
    (folder / CSV).unlink(missing_ok=True)  # it has only the first folds


def predictions_csv(parts: Sequence[Predictions]) -> bytes:
    """Returns the table in UTF-8, one line per image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    optional = [*_optional(parts)]
    writer.writerow([*COLUMNS, *optional, *(cell(f"p_{name}") for name in parts[0].classes)])
    for part in parts:
        names = [cell(name) for name in part.classes]
        for rows in _slices(len(part)):
            columns = (part.folds[rows], part.labels[rows], part.predicted[rows], part.probabilities[rows])
            numbers = np.array([getattr(part, name)[rows] for name in optional], np.int64).view(np.uint64)
            own = numbers.T.tolist() if optional else [[]] * len(part.paths[rows])
            for path, whole, fold, label, top, shares in zip(
                part.paths[rows], own, *(column.tolist() for column in columns), strict=True
            ):
                writer.writerow([cell(path), fold, names[label], names[top], *whole, *map(repr, shares)])
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_csv(content: bytes) -> Predictions:
    """Reads a table of `predictions_csv`. Runs of version 0.1.0 have no array files. Raises SchemaError for others."""
    try:
        rows = [*csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))]
        header = rows.pop(0) if rows else []
        if header[:4] != COLUMNS:
            raise SchemaError(f"its first line is not {','.join(COLUMNS)},...")
        optional = [name for name in OPTIONAL if name in header[4 : 4 + len(OPTIONAL)]]
        first = 4 + len(optional)  # of the probabilities
        classes = tuple(from_cell(name).removeprefix("p_") for name in header[first:])
        position = {name: i for i, name in enumerate(classes)}
        odd = next((row for row in rows if len(row) != len(header)), None)
        if odd is not None:
            raise SchemaError(f"a line has {len(odd) - first} probabilities, but the first line names {len(classes)}")
        predictions = Predictions(
            classes,
            tuple(_path(from_cell(row[0])) for row in rows),
            np.array([int(row[1]) for row in rows], np.int64),
            np.array([position[from_cell(row[2])] for row in rows], np.int64),
            np.array([[float(share) for share in row[first:]] for row in rows]).reshape(len(rows), len(classes)),
            **{name: _numbers([row[header.index(name)] for row in rows]) for name in optional},
        )
        predicted = [position[from_cell(row[3])] for row in rows]
    except KeyError as error:
        name = str(error.args[0])[:80]
        raise SchemaError(f"a line names the class {name!a}, but the first line does not") from error
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise SchemaError(str(error)) from error
    _checked(predictions)
    if predicted != predictions.predicted.tolist():
        raise SchemaError("a predicted class is not the most probable one")
    return predictions


def _numbers(cells: Sequence[str]) -> NDArray[np.int64]:
    """Reads integers as `predictions_csv` writes them: unsigned, because a spreadsheet may read a sign as a formula."""
    return np.array([int(text) for text in cells], np.uint64).view(np.int64)


def _checked(predictions: Predictions) -> Predictions:
    """Returns the predictions. Raises SchemaError if a label is not a class, or a probability is not in [0, 1]."""
    if len(predictions) and not 0 <= predictions.labels.min() <= predictions.labels.max() < len(predictions.classes):
        raise SchemaError("a label is not a class")
    if not ((predictions.probabilities >= 0) & (predictions.probabilities <= 1)).all():
        raise SchemaError("a probability is not between 0 and 1")
    return predictions


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays by name. They must be uncompressed, so that they cannot be larger than the file."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        names = {part.filename.removesuffix(".npy") for part in parts}
        if names - {*OPTIONAL} != set(ARRAYS):
            raise ValueError("it has other or missing arrays")
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("it is compressed")
        for part in parts:
            with archive.open(part) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("an array has another version of the format")
                shape, _, kind = np.lib.format.read_array_header_1_0(file)
                if np.prod(shape, dtype=float) * kind.itemsize > part.file_size:
                    raise ValueError("an array is larger than its file")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}


def _parquet(parts: Sequence[Predictions]) -> memoryview:
    """The table as a Parquet file, written ROWS rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    optional = [*_optional(parts)]
    names = [*COLUMNS, *optional, *(f"p_{name}" for name in parts[0].classes)]
    types = [pa.string(), pa.int64(), pa.string(), pa.string(), *[pa.int64()] * len(optional)]
    types += [pa.float64()] * len(parts[0].classes)
    with pq.ParquetWriter(content, pa.schema(list(zip(names, types, strict=True)))) as writer:
        for part in parts:
            classes = np.array([_utf8(name) for name in part.classes], object)
            for rows in _slices(len(part)):
                columns = [
                    [_utf8(path) for path in part.paths[rows]],
                    part.folds[rows],
                    classes[part.labels[rows]],
                    classes[part.predicted[rows]],
                    *(getattr(part, name)[rows] for name in optional),
                    *part.probabilities[rows].T,
                ]
                writer.write_table(pa.table([pa.array(c, t) for c, t in zip(columns, types, strict=True)], names))
    return content.getbuffer()


def _optional(parts: Sequence[Predictions]) -> dict[str, Any]:
    """The optional arrays that all parts have, by name, with the values of the first part."""
    return {
        name: getattr(parts[0], name) for name in OPTIONAL if all(getattr(part, name) is not None for part in parts)
    }


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))


def _joined(texts: Sequence[str]) -> Any:
    """(bytes,) uint8: the texts in UTF-8, separated by zero bytes, which file names cannot contain."""
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), np.uint8)


def _parted(content: Any) -> tuple[str, ...]:
    if content.dtype != np.uint8 or content.ndim != 1:
        raise SchemaError("paths or classes have another dtype")
    return tuple(content.tobytes().decode("utf-8", "surrogateescape").split("\0")) if len(content) else ()


def _utf8(text: str) -> str:
    """The text with replaced characters where it is not UTF-8: file names may have such bytes, but Parquet may not."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _path(text: str) -> str:
    try:
        return path_below(text)
    except ValueError as error:
        raise SchemaError(f"a path is {text[:80]!a}: {error}") from None
