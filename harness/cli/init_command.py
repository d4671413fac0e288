"""`harness init`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from harness.cli import main as cli
from harness.cli.output import echo


@click.command("init", short_help=cli.VERBS["init"])
@click.argument("folder", default=".", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Make a project in FOLDER, or in this one: an experiment that works, a .gitignore, and what to type.

    No file is overwritten: what is there is kept, and named.
    """
    from harness.workflows.init import make_project

    made = make_project(folder)
    for name in made.written:
        echo(f"wrote  {folder / name}")
    for name in made.kept:
        echo(f"kept   {folder / name}, as it was")
    if not made.written:
        echo("nothing was written: all files were there")
    if made.not_ignored:
        echo(f"note: {folder / '.gitignore'} lacks {', '.join(made.not_ignored)}: add these lines")
    there = "" if folder.resolve() == Path.cwd().resolve() else f"cd {quote(str(folder))}; "
    if not made.has_git:
        echo(f"git: not a git repository; {there}git init   makes it one, and runs then record their commit")
    if made.has_images:
        echo(
            "note: images lie in this folder. Move their folders into one, such as photos/, for harness new NAME --data"
        )
    echo(
        f"next: {there}harness data demo; harness run quickstart",
        "      harness new NAME --data FOLDER  for your images",
    )
