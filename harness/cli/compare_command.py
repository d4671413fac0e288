"""`harness compare`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json


@click.command("compare", short_help=cli.VERBS["compare"])
@click.argument("runs_to_compare", metavar="A B...", nargs=-1, required=True)
@click.option("--allow-leak", is_flag=True, help="Go on if one was trained on images that it is judged on.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--out", help="Write tables and pictures to this folder. Without it, nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object on stdout.")
def command(runs_to_compare: tuple[str, ...], allow_leak: bool, runs: str, out: str | None, as_json: bool) -> None:
    """Compare two or more of your results on the images that all of them have predicted.

    Each is a run, a trial or a test: its folder, its id, or how the id ends; or champion. A trial also has a short
    name, such as study-sea_forest/trial-003. A run counts by its out-of-fold predictions, champion by those of its run.

    Prints each accuracy, each pair's difference with its interval, and the images that they disagree about. --out adds
    comparison.csv, images.csv, differences.png and disagreements.png.

    Exit code 4 where no image is shared, the classes differ, or one was trained on images that it is judged on.
    """
    from harness.workflows.compare.runs import compare_runs

    found = compare_runs(runs_to_compare, Path(runs), allow_leak=allow_leak)
    written: list[str] = []
    notes: list[str] = []
    if out is not None:
        from harness.workflows.compare.files import write_files

        written, notes = write_files(found, Path(out))
    if as_json:
        echo_json({**found.to_dict(), "out": out, "files": written, "file_notes": notes})
        return
    from harness.cli.compare_text import report

    echo(*report(found, out, written, notes))
