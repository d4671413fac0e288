"""Numbers and names as a report shows them, without the names of users and folders of this machine."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from harness.util.files import as_text

HOMES = re.compile(r"(?<![\w.~\\/-])(?:/(?:home|Users)/|[A-Za-z]:[\\/]Users[\\/]|/root(?=[\\/]|$))[^\\/\s'\":,;]*")
ABSOLUTE = re.compile(
    r"(?<![\w.~…\\/:-])(?:/|[A-Za-z]:[\\/])(?:[^\\/\s'\":,;]+[\\/])+(?=[^\\/\s'\":,;]+[\\/][^\\/\s'\":,;]+)"
)
SHOWN_PARTS = 2  # last parts of an absolute path that are shown


def shown(text: str) -> str:
    """Returns a text for a page, with visible control characters and short absolute paths."""
    return private(as_text(text))


def private(text: str) -> str:
    """Returns the text without folders that identify the user: the home, the current folder, and first parts."""
    if "/" not in text and "\\" not in text:
        return text
    for folder, instead in _own_folders():
        text = re.sub(rf"(?<![\w.~-]){re.escape(folder)}(?=[\\/\s'\":,;]|$)", lambda _, to=instead: to, text)  # type: ignore[misc]
    return ABSOLUTE.sub("…/", HOMES.sub("~", text))


def folder_text(path: str) -> str:
    """Returns the path of a folder. An absolute path outside of the current folder keeps only its last two parts."""
    whole: PurePath = PureWindowsPath(path) if "\\" in path or path[1:2] == ":" else PurePosixPath(path)
    if not whole.is_absolute():
        return as_text(path)
    with contextlib.suppress(ValueError):
        return as_text(Path(path).relative_to(Path.cwd()).as_posix())
    parts = whole.parts[1:]
    return as_text("/".join(["…", *parts[-SHOWN_PARTS:]])) if len(parts) > SHOWN_PARTS else shown(path)


def without_folders(text: str, paths: Iterable[object]) -> str:
    """Returns the text with short forms of `paths`. They are given, because paths with spaces have no clear end."""
    for path in sorted({path for path in paths if isinstance(path, str)}, key=len, reverse=True):
        if len(path) > 1 and folder_text(path) != path:
            text = text.replace(path, folder_text(path))
    return text


def _own_folders() -> tuple[tuple[str, str], ...]:
    """(folder, its replacement), the longest folder first."""
    folders = {str(Path.home()): "~"} if _has_home() else {}
    folders[str(Path.cwd())] = "."
    return tuple(sorted(((key, to) for key, to in folders.items() if len(key) > 1), key=lambda item: -len(item[0])))


def _has_home() -> bool:
    try:
        return bool(Path.home())
    except RuntimeError:
        return False


def percent(share: float | None, places: int = 1) -> str:
    """Returns a text such as `98.4 %`, or "–" for None."""
    return "–" if share is None else f"{100 * share:.{places}f} %"


def between(interval: Sequence[float] | None, places: int = 1) -> str:
    """Returns a text such as `97.4 to 99.0 %`, or "–" for None."""
    if interval is None:
        return "–"
    low, high = interval
    return f"{100 * low:.{places}f} to {100 * high:.{places}f} %"


def number(value: float | None, places: int = 4) -> str:
    """Returns the number as text, or "undefined" for None."""
    return "undefined" if value is None else f"{value:.{places}f}"


def count(value: int, thing: str = "", several: str = "") -> str:
    """Returns a text such as `1,200 images`. `several` is the plural of `thing`, if it does not only need an "s"."""
    text = f"{value:,}"
    return f"{text} {thing if value == 1 else several or thing + 's'}" if thing else text


def duration(seconds: float) -> str:
    """Returns a text such as `8 s`, `12 min` or `3.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def moment(text: str) -> str:
    """Returns a time of a record as `27 November 2026, 16:59`. The time zone is left out for privacy."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y}, {at:%H:%M}"


def value_text(value: object) -> str:
    """Returns the value of a setting as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(value_text, value)) or "none"
    return shown(str(value))
