"""`harness compare`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json


@click.command("compare", short_help=cli.VERBS["compare"])
@click.argument("runs_to_compare", metavar="A B...", nargs=-1, required=True)
@click.option("--allow-leak", is_flag=True, help="Continue if a model was trained on images that it is evaluated on.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--out", help="Write tables and plots to this folder. Without it, nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object on stdout.")
def command(runs_to_compare: tuple[str, ...], allow_leak: bool, runs: str, out: str | None, as_json: bool) -> None:
    """Compare two or more results on the images that all of them have predictions for.

    A result is a run, a trial or a test. Name it by its folder, its id, or the last characters of its id. The word
    champion names the run of the champion. The predictions of a run are its out-of-fold predictions.

    A trial also has a short name, as in study-sea_forest/trial-003.

    Prints each accuracy, the difference of each pair with its interval, and the images that the results disagree
    about. --out also writes comparison.csv, images.csv, differences.png and disagreements.png.

    Exit code 4 if the results share no image, if their classes differ, or if a model was trained on images that it is
    evaluated on.
    """
    from harness.workflows.compare.runs import compare_runs

    comparison = compare_runs(runs_to_compare, Path(runs), allow_leak=allow_leak)
    written: list[str] = []
    notes: list[str] = []
    if out is not None:
        from harness.workflows.compare.files import write_files

        written, notes = write_files(comparison, Path(out))
    if as_json:
        echo_json({**comparison.to_dict(), "out": out, "files": written, "file_notes": notes})
        return
    from harness.cli.compare_text import report

    echo(*report(comparison, out, written, notes))
