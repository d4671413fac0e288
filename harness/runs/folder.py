"""What the folders of runs and studies have in common: their own files, and no link that leads out of them."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from harness.errors import UsageError
from harness.util.checked import FormError, is_inside, require_inside


class Folder:
    """A folder with a record, plain files and `plots/`. It may come from somebody else: links out are not followed."""

    FILES: ClassVar[tuple[str, ...]] = ()  # that may be shown to others

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @property
    def plots(self) -> Path:
        """Where its pictures lie. Raises UsageError where that is a link that leads elsewhere."""
        return self.inside("plots")

    def pictures(self) -> list[Path]:
        """Its plots, sorted; of links only those that stay in the folder."""
        return [path for path in sorted(self.plots.glob("*.png")) if is_inside(path, self.path)]

    def files(self) -> list[Path]:
        """Those of FILES that are there; of links only those that stay in the folder."""
        paths = (self.path / name for name in self.FILES)
        return [path for path in paths if path.is_file() and is_inside(path, self.path)]

    def inside(self, name: str | Path) -> Path:
        """The path of a file or folder in it, there or not. Raises UsageError for a link that leads elsewhere."""
        path = self.path / name
        try:
            return require_inside(path, self.path)
        except FormError as error:
            link = next((part for part in reversed((path, *path.parents)) if part.is_symlink()), path)
            there, here = quote(os.path.realpath(link)), quote(str(link))
            fix = f"rm {here}, the link alone, then cp -r {there} {here}"
            raise UsageError(f"{path} is not used", str(error), fix) from error
