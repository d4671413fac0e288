"""Folders that are not classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.foreign import is_foreign
from tests.conftest import write_files


@pytest.mark.parametrize(
    ("name", "files", "foreign"),
    [
        ("data-changes", ("20261127-200000/log.json", "20261127-200000/removed/sea/1.jpg"), True),
        ("data-changes", ("before/1.jpg", "after/1.jpg"), False),  # a class with this name
        ("sea", ("20261127-200000/log.json",), False),
    ],
)
def test_is_foreign_recognises_a_folder_of_changes_by_its_log(
    tmp_path: Path, name: str, files: tuple[str, ...], foreign: bool
) -> None:
    write_files(tmp_path / name, dict.fromkeys(files, b"{}"))
    assert is_foreign(tmp_path / name) is foreign
