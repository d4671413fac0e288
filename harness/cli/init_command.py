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
    """Create a project in FOLDER, by default the current folder: an experiment that runs, and a .gitignore.

    The command also prints what to type next. It overwrites no file: existing files are kept and listed.
    """
    from harness.workflows.init import make_project

    made = make_project(folder)
    for name in made.written:
        echo(f"wrote  {folder / name}")
    for name in made.kept:
        echo(f"kept   {folder / name}, unchanged")
    if not made.written:
        echo("nothing was written: all files exist already")
    if made.not_ignored:
        echo(f"note: {folder / '.gitignore'} lacks {', '.join(made.not_ignored)}: add these lines")
    there = "" if folder.resolve() == Path.cwd().resolve() else f"cd {quote(str(folder))}; "
    if not made.has_git:
        echo(f"git: not a git repository; {there}git init   makes it one, so that runs can record their commit")
    if made.has_images:
        echo(
            "note: this folder contains images. Move their folders into one folder, such as photos/, and then type "
            "harness new NAME --data photos"
        )
    echo(
        f"next: {there}harness data demo; harness run quickstart",
        "      harness new NAME --data FOLDER  for your images",
    )
