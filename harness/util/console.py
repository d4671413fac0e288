"""Prints lines and progress bars on stderr, with the lines above the bar."""

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
_printed: set[str] = set()  # warnings about missing plots that were printed


def print_line(text: str) -> None:
    """Prints a line on stderr, above a progress bar."""
    with contextlib.suppress(OSError):  # stderr may be closed, which must not end the training
        tqdm.write(terminal(text), file=sys.stdout if _in_notebook() else sys.stderr)  # a notebook shows errors in red


def bar_of(total: int, title: str, unit: str, quiet: bool = False) -> tqdm[Any]:
    """A progress bar on a terminal, which the caller updates."""
    layout = "{desc}: {n_fmt}/{total_fmt} {unit} |{bar}| {elapsed}{postfix}"
    return tqdm(
        total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True, disable=quiet or None, bar_format=layout
    )


@contextlib.contextmanager
def only_a_picture() -> Iterator[None]:
    """Converts errors in drawing plots to warnings, because a plot must not end a run.

    If a folder is full or read-only, one warning is printed for all its plots.
    """
    try:
        yield
    except StorageError as error:
        if (warning := error.first or error.what) not in _printed:
            _printed.add(warning)
            first = f"{error.first}; " if error.first else ""
            print_line(f"warning: plots are missing: {error.what} ({error.why}); {first}the numbers are complete")
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print_line(f"warning: a plot could not be drawn ({why}); this does not change the numbers")


def counted(items: Iterable[T], total: int | None, title: str, unit: str = "batch") -> Iterator[T]:
    """Yields the items, with a progress bar on a terminal or in a notebook."""
    yield from bar(items, desc=title, total=total, leave=False, unit=unit, dynamic_ncols=True)


def bar(items: Iterable[T] | None = None, **options: Any) -> tqdm[Any]:
    """A progress bar with tqdm's options, on a terminal or in a notebook; invisible elsewhere."""
    if _in_notebook():
        from tqdm.notebook import tqdm as notebook_bar

        made: tqdm[Any] = notebook_bar(items, **options)
        return made
    return tqdm(items, disable=None, **options)


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel that can show progress bars."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel") and installed("ipywidgets")
