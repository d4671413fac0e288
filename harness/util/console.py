"""Lines and bars on stderr, above each other."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from harness.errors import StorageError
from harness.util.escape import terminal
from harness.util.packages import installed

T = TypeVar("T")
_told: set[str] = set()  # what to do about the folders whose plots are missing


def print_line(text: str) -> None:
    """A line on stderr, above whatever bar is there."""
    with contextlib.suppress(OSError):  # the reader has left; that must not end the training
        tqdm.write(terminal(text), file=sys.stdout if _in_notebook() else sys.stderr)  # a notebook shows errors in red


def bar_of(total: int, title: str, unit: str, quiet: bool = False) -> tqdm[Any]:
    """A bar on a terminal that others move."""
    layout = "{desc}: {n_fmt}/{total_fmt} {unit} |{bar}| {elapsed}{postfix}"
    return tqdm(
        total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True, disable=quiet or None, bar_format=layout
    )


@contextlib.contextmanager
def only_a_picture() -> Iterator[None]:
    """Within, whatever fails costs a warning: what only shows the numbers must not cost the run.

    A folder that takes no more files is named once, however many plots are missing in it.
    """
    try:
        yield
    except StorageError as error:
        if (told := error.first or error.what) not in _told:
            _told.add(told)
            first = f"{error.first}; " if error.first else ""
            print_line(f"warning: plots are missing: {error.what} ({error.why}); {first}the numbers are whole")
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print_line(f"warning: a plot could not be drawn ({why}); the numbers are not touched by that")


def counted(items: Iterable[T], total: int | None, title: str, unit: str = "batch") -> Iterator[T]:
    """The same, with a bar on a terminal or in a notebook."""
    yield from bar(items, desc=title, total=total, leave=False, unit=unit, dynamic_ncols=True)


def bar(items: Iterable[T] | None = None, **options: Any) -> tqdm[Any]:
    """A bar with tqdm's options. Where stderr is no terminal there is none, but in a notebook there is."""
    if _in_notebook():
        from tqdm.notebook import tqdm as notebook_bar

        made: tqdm[Any] = notebook_bar(items, **options)
        return made
    return tqdm(items, disable=None, **options)


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel that can draw bars."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel") and installed("ipywidgets")
