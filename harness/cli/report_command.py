"""`harness report`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo


@click.command("report", short_help=cli.VERBS["report"])
@click.argument("result", metavar="RUN|STUDY|TEST|champion")
@click.option("--out", help="The file to write.  [default: report.html in the folder of the result]")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--no-images", is_flag=True, help="List errors by name, without pictures: for images that are private.")
@click.option("--force", is_flag=True, help="Replace a file that harness report did not write.")
@click.option("--open", "open_it", is_flag=True, help="Open the file in the browser.")
def command(result: str, out: str | None, runs: str, no_images: bool, force: bool, open_it: bool) -> None:
    """Write one HTML file about a result, which can be mailed.

    Name a run, a trial or a test by its folder, its id, or how the id ends; a study by its folder or its name. The
    report of the champion is champion-NUMBER.html in the current folder.

    The file needs no network and no server. It has the accuracy with its interval, learning curves, the confusion
    matrix with the images of each cell, the errors, scores by class, reliability, the data, and where the result came
    from; of a study the trials, their parameters and their time. Its images are small copies of the pixels alone: no
    EXIF, no place, no path of this machine.
    """
    from harness.workflows.report import report

    path = report(result, Path(runs), None if out is None else Path(out), force, not no_images)
    echo(f"{path}  {path.stat().st_size / 1000:,.0f} kB")
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
