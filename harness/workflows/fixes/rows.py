"""The rows and settings of a table of fixes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.data.images import Side
from harness.util.schema import AnyPath, Text, Word

# columns in this order; a person edits `action`
HEADER = (
    *("file", "side", "label", "likely", "reason", "copy_of", "suggestion", "action"),
    *("md5", "data", "settings"),
)
NEEDED = ("file", "side", "label", "action", "md5", "data")
KEEP, REMOVE, MOVE = "keep", "remove", "move to"
MD5 = "md5:"  # prefix, so that no spreadsheet reads digits such as 12345e67 as a number


@dataclass(frozen=True)
class Settings:
    """How the images were listed, if not by default: the column `settings`, as JSON.

    Attributes:
        folder: The folder that the column `file` is relative to; None if it is `data`.
        valid_data: Images of the hold-out; None if they are part of `data`.
        test_data: Test images; None if they are part of `data`.
        class_folder: "outer", "inner" or empty, as in an experiment.
        columns: Names of a table's columns, each as "path=filename".
    """

    folder: AnyPath | None = None
    valid_data: AnyPath | None = None
    test_data: AnyPath | None = None
    class_folder: Text = ""
    columns: list[Text] = field(default_factory=list)

    def source(self, side: Side, data: str) -> Path:
        """The folder or table that names the images of a split."""
        named = {Side.VALID: self.valid_data, Side.TEST: self.test_data}.get(side)
        return Path(data if named is None else named)


@dataclass(frozen=True)
class FixRow:
    """A row as it was read.

    Attributes:
        line: Number of its first line in the file, from 1.
        file: Path of the image relative to the folder of the settings, in NFC.
        side: "train", "valid" or "test".
        label: Its label when the data were checked.
        action: "keep", "remove", or "move to" and a class, with single spaces.
        md5: Of the image when the data were checked; empty if it could not be read.
        copy_of: Paths of the images that it is a copy of, separated by "; "; empty if there are none.
    """

    line: int
    file: str
    side: Word
    label: str
    action: str
    md5: str
    copy_of: str = ""
