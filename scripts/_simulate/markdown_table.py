"""Shared by all simulations: the command line, and a Markdown table that is printed row by row."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Lines = Callable[[str, Any, argparse.Namespace], Iterable[str]]  # (name of the row, row, options) -> lines


def command_line(name: str, about: str | None, rows: Iterable[str], repeats: int) -> argparse.ArgumentParser:
    """The parser of `scripts/simulate NAME [ROW...] [--repeats N]`; `repeats` is the default."""
    parser = argparse.ArgumentParser(prog=f"simulate {name}".rstrip(), description=about)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}; by default all")
    parser.add_argument("--repeats", type=int, default=repeats)
    return parser


def print_table(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    rows: Mapping[str, Any],
    columns: Sequence[str],
    lines: Lines,
) -> None:
    """Prints the lines of each row when it is complete, and its seconds on stderr."""
    options = parser.parse_args(arguments)
    unknown = [name for name in options.rows if name not in rows]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(rows)}")
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n", flush=True)
    for name in options.rows or rows:
        started = time.perf_counter()
        for line in lines(name, rows[name], options):
            print(line, flush=True)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
