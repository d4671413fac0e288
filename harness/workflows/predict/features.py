"""Writes features of any number of images to a NumPy file, with a table of the images beside it."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from harness.errors import UsageError, storage_errors
from harness.util.escape import cell
from harness.workflows.predict.files import features_of_files
from harness.workflows.predict.prediction import Unreadable
from harness.workflows.predict.predictor import Predictor

ELSEWHERE = "--features FILE.npy, with another file"


def table_of(path: Path) -> Path:
    """The table beside a file of features, which lists the image of each row."""
    return path.with_suffix(".csv")


def write_features(predictor: Predictor, files: Iterable[Path], path: Path, force: bool = False) -> Iterator[Any]:
    """Writes (N, F) float32 to `path` and the N paths to the table beside it; yields each path or `Unreadable`.

    Both files are complete when the iteration ends. If it is interrupted, neither is written. The memory use does not
    depend on the number of images.

    Raises:
        UsageError: `path` does not end in .npy, or one of the files exists and `force` is off.
        StorageError: They cannot be written.
    """
    if path.suffix != ".npy":
        raise UsageError(f"--features {path} is not a NumPy file", "its name must end in .npy", "--features FILE.npy")
    for place in (path, table_of(path)):
        if os.path.lexists(place) and not force:
            raise UsageError(
                f"{place} already exists", "it is overwritten only with --force", f"{ELSEWHERE}; or --force"
            )
    return _written(predictor, files, path)


def _written(predictor: Predictor, files: Iterable[Path], path: Path) -> Iterator[Any]:
    mark = secrets.token_hex(4)
    values, names = (place.with_name(f".{place.name}-{mark}") for place in (path, table_of(path)))
    count, length = 0, 0
    try:
        with storage_errors(path, ELSEWHERE), values.open("xb") as array, _table(names) as table:
            writer = csv.writer(table)
            writer.writerow(("row", "path"))
            for file, row in features_of_files(predictor, files):
                if isinstance(row, str):
                    yield Unreadable(str(file), row)
                    continue
                array.write(np.ascontiguousarray(row, np.float32).data)
                writer.writerow((count, cell(str(file))))
                count, length = count + 1, len(row)
                yield file
        if count:
            with storage_errors(path, ELSEWHERE):
                _finish(values, (count, length), path)
                names.replace(table_of(path))
    finally:
        for part in (values, names):
            part.unlink(missing_ok=True)


def _table(path: Path) -> TextIO:
    return path.open("x", newline="", encoding="utf-8", errors="backslashreplace")


def _finish(values: Path, shape: tuple[int, int], path: Path) -> None:
    """Writes the header and then the values, because only now their number is known."""
    part = values.with_suffix(".npy-part")
    with contextlib.ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        file: BinaryIO = stack.enter_context(part.open("xb"))
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with values.open("rb") as source:
            shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())
        part.replace(path)
