"""`harness data`."""

from __future__ import annotations

import click

from harness.cli import main as cli


@click.group("data", short_help=cli.VERBS["data"])
def command() -> None:
    """Make and look after data sets."""


@command.command()
@click.option("--to", "folder", default="data", show_default=True, help="Folder to draw into.")
@click.option("--force", is_flag=True, help="Replace what is there, if it is something else.")
def demo(folder: str, force: bool) -> None:
    """Draw the sea-or-forest demo data: the same images, to the bit, on every call."""
    from pathlib import Path

    from harness.data.demo import draw_demo

    counts, drawn = draw_demo(Path(folder), force=force)
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    click.echo(f"{folder}: {told} images {'drawn' if drawn else 'are there already (--force draws them anew)'}")
    click.echo("next: harness run quickstart")
