"""`harness report`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo


@click.command("report", short_help=cli.VERBS["report"])
@click.argument("result", metavar="RUN|STUDY|TEST|champion")
@click.option("--out", help="File to write.  [default: report.html in the folder of the result]")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--no-images", is_flag=True, help="Show no images, for example if they are private. Errors are listed.")
@click.option("--force", is_flag=True, help="Replace the file even if harness report did not write it.")
@click.option("--open", "open_it", is_flag=True, help="Open the file in the browser.")
def command(result: str, out: str | None, runs: str, no_images: bool, force: bool, open_it: bool) -> None:
    """Write a report of a result: one HTML file that you can send by e-mail.

    Name a run, a trial or a test by its folder, its id, or the last characters of its id. Name a study by its folder
    or its name. The report of the champion is champion-NUMBER.html in the current folder.

    The file needs no server and no internet connection. It shows the accuracy with its interval, the learning curves,
    the confusion matrix with the images of each cell, the errors, the scores of each class, the reliability, the data,
    and the code that the result came from. The report of a study shows the trials, their parameters and their time.
    The images are small copies without metadata: no EXIF, no GPS position, no path of this machine.
    """
    from harness.workflows.report import report

    path = report(result, Path(runs), None if out is None else Path(out), force, not no_images)
    echo(f"{path}  {path.stat().st_size / 1000:,.0f} kB")
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
