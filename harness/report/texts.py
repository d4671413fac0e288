"""Numbers and names as a report shows them. No text that passes here names a person or a place of the machine."""

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
SHOWN_PARTS = 2  # of an absolute path


def shown(text: str) -> str:
    """A text for a page: control characters are written out, and absolute paths lose their first folders."""
    return private(as_text(text))


def private(text: str) -> str:
    """The same text, without the folders that say whose machine it was: a home, the current folder, the first parts."""
    if "/" not in text and "\\" not in text:
        return text
    for folder, instead in _own_folders():
        text = re.sub(rf"(?<![\w.~-]){re.escape(folder)}(?=[\\/\s'\":,;]|$)", lambda _, to=instead: to, text)  # type: ignore[misc]
    return ABSOLUTE.sub("…/", HOMES.sub("~", text))


def folder_text(path: str) -> str:
    """A folder's path; of an absolute one, outside of the current folder, the last two parts."""
    whole: PurePath = PureWindowsPath(path) if "\\" in path or path[1:2] == ":" else PurePosixPath(path)
    if not whole.is_absolute():
        return as_text(path)
    with contextlib.suppress(ValueError):
        return as_text(Path(path).relative_to(Path.cwd()).as_posix())
    parts = whole.parts[1:]
    return as_text("/".join(["…", *parts[-SHOWN_PARTS:]])) if len(parts) > SHOWN_PARTS else shown(path)


def without_folders(text: str, paths: Iterable[object]) -> str:
    """The text, with each of `paths` in it shortened: such a path may have spaces, where nobody can see its end."""
    for path in sorted({path for path in paths if isinstance(path, str)}, key=len, reverse=True):
        if len(path) > 1 and folder_text(path) != path:
            text = text.replace(path, folder_text(path))
    return text


def _own_folders() -> tuple[tuple[str, str], ...]:
    """(folder, what is shown in its place), the longest first."""
    folders = {str(Path.home()): "~"} if _has_home() else {}
    folders[str(Path.cwd())] = "."
    return tuple(sorted(((key, to) for key, to in folders.items() if len(key) > 1), key=lambda item: -len(item[0])))


def _has_home() -> bool:
    try:
        return bool(Path.home())
    except RuntimeError:
        return False


def percent(share: float | None, places: int = 1) -> str:
    """`98.4 %`; "–" if it is undefined."""
    return "–" if share is None else f"{100 * share:.{places}f} %"


def between(interval: Sequence[float] | None, places: int = 1) -> str:
    """`97.4 to 99.0 %`; "–" if it is not known."""
    if interval is None:
        return "–"
    low, high = interval
    return f"{100 * low:.{places}f} to {100 * high:.{places}f} %"


def number(value: float | None, places: int = 4) -> str:
    """A number, or "undefined"."""
    return "undefined" if value is None else f"{value:.{places}f}"


def count(value: int, thing: str = "", several: str = "") -> str:
    """`1,200 images`: `thing` is one of them, `several` more, if that is not the same with an "s"."""
    text = f"{value:,}"
    return f"{text} {thing if value == 1 else several or thing + 's'}" if thing else text


def duration(seconds: float) -> str:
    """`8 s`, `12 min` or `3.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def moment(text: str) -> str:
    """`27 November 2026, 16:59`, of a moment as records have it; without the time zone, which says where it was."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y}, {at:%H:%M}"


def value_text(value: object) -> str:
    """The value of a setting."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(value_text, value)) or "none"
    return shown(str(value))
