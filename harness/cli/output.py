"""What commands print. Each line passes here, so none can move a terminal's cursor or look like another line."""

from __future__ import annotations

import io
import json
import re
import sys
import textwrap

import click

from harness.util.escape import terminal

WIDTH = 100  # columns
MOST_INDENT = 70  # columns
FIXED_SPACE = "\xa0"  # where no line is broken; it is printed as a space
LABEL = re.compile(r" *\S+(?: \S+)*  +(?=\S)| +(?=\S)")  # what comes before the text that is broken


def escape_what_cannot_be_encoded() -> None:
    """Prints a character that stdout's encoding lacks as an escape: on Windows, that of a file or a pipe has no 猫."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def echo(*lines: str, err: bool = False) -> None:
    """Prints lines on stdout, or on stderr."""
    click.echo("\n".join(map(terminal, lines)), err=err)


def echo_fitting(*lines: str, err: bool = False) -> None:
    """Prints the lines of a table of names and texts, each broken so that it fits WIDTH columns."""
    echo(*(part for line in lines for part in fitting(line)), err=err)


def fitting(line: str) -> list[str]:
    """A line, broken at spaces: what does not fit stands below the text, right of its name.

    A word that is too long, such as a path, stays whole.
    """
    if len(line) <= WIDTH:
        return [line.replace(FIXED_SPACE, " ")]
    match = LABEL.match(line)
    label = "" if match is None or match.end() > MOST_INDENT else match[0]
    indent = " " * (len(label) or len(line) - len(line.lstrip()) + 2)
    lines = textwrap.wrap(
        line[len(label) :],
        WIDTH,
        initial_indent=label,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [each.replace(FIXED_SPACE, " ") for each in lines]


def echo_json(value: object, indent: int | None = None) -> None:
    """Prints one JSON object on stdout, in ASCII."""
    click.echo(json.dumps(value, indent=indent))
