"""What commands print. Every line passes here, so none can move a terminal's cursor, or forge another line."""

from __future__ import annotations

import json

import click

from harness.util.escape import terminal


def echo(*lines: str, err: bool = False) -> None:
    """Prints lines on stdout, or on stderr."""
    click.echo("\n".join(map(terminal, lines)), err=err)


def echo_json(value: object, indent: int | None = None) -> None:
    """Prints one JSON object on stdout, in ASCII."""
    click.echo(json.dumps(value, indent=indent))
