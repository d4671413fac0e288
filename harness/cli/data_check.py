"""`harness data check`."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from harness.cli.output import echo, echo_json
from harness.errors import ExperimentError, GateError, UsageError

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.runs.data_check_record import DataCheckRecord

FOLDER = "data_check"  # of the pages, in the folder of all runs
DATA = "data"  # the default folder to check


@click.command("check", short_help="Find copies, wrong labels, shortcuts and unusual images.")
@click.argument("data", metavar="[EXPERIMENT|FOLDER|TABLE]", required=False)
@click.option(
    "-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a field, as in harness run."
)
@click.option(
    "--run",
    help="Run whose out-of-fold predictions are used to check labels.  [default: the most accurate on these images]",
)
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option(
    "--features/--no-features",
    default=None,
    help="Compare images by a model's features.  [default: yes, unless this is slow or weights must be downloaded]",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--out", help="Page to write.  [default: RUNS/data_check/NAME.html]")
@click.option("--no-images", is_flag=True, help="Show no images on the page, for example if they are private.")
@click.option("--write", metavar="FIXES.csv", help="Also write a table of fixes, to edit and to apply.")
@click.option("--force", is_flag=True, help="Replace files that harness did not write.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit code 3 for contradictions, copies across splits or folds, unreadable images or a shortcut.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def check(
    data: str | None,
    settings: tuple[str, ...],
    run: str | None,
    runs: str,
    features: bool | None,
    device: str,
    out: str | None,
    no_images: bool,
    write: str | None,
    force: bool,
    open_it: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Check a data set for problems that make an accuracy wrong.

    Name an experiment, a folder with one folder per class, or a table. The default is the folder data. The check looks
    for copies, near copies and images of the same scene; for labels that are probably wrong; for shortcuts, which are
    properties of the files that reveal the class; and for images that are unreadable, blank, dark, blurred or of an
    unusual size. It also measures how different the training, validation and test images look. It writes a page that
    shows the images, and changes no data.
    """
    from harness.report.write import require_own, write_data_report
    from harness.runs.record_file import to_plain
    from harness.util.console import bar_of
    from harness.workflows.check_data.check import CheckOptions, check_data
    from harness.workflows.fixes.write import require_free, write_fixes

    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results, not for prints of the experiment's code
        experiment = _experiment(data, settings)
    page = _page(experiment, runs) if out is None else Path(out)
    _require_page(page, experiment)
    require_own(page, force)
    if write is not None:
        require_free(Path(write), force, _sources(experiment), experiment.columns)
    with contextlib.redirect_stdout(sys.stderr):
        record = check_data(experiment, CheckOptions(run, Path(runs), features, device))
    record = replace(record, arguments=_typed(data, settings))
    with contextlib.closing(bar_of(0, "writing the page", "image")) as bar:
        write_data_report(record, page, force, bar.update, not no_images, record.value_range)
    rows = None if write is None else write_fixes(record, Path(write), force)
    if as_json:
        echo_json(to_plain(record) | {"page": str(page)})
    else:
        echo(*_lines(record))
        echo(f"  page  {page}")
        _say_next(record, write, rows)
    if open_it:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    if strict:
        _require_clean(record)


def _experiment(data: str | None, settings: tuple[str, ...]) -> Experiment:
    """The named experiment, or an experiment with default fields on the named folder or table."""
    from harness.cli.run_command import parse_settings
    from harness.config.experiment import Experiment
    from harness.config.experiment_file import ExperimentFile, files, find
    from harness.data.table import is_table

    named = data or DATA
    is_name = "/" not in named and named in [path.stem for path in files()]
    if not is_name and not named.endswith(".py") and (data is None or Path(named).is_dir() or is_table(Path(named))):
        # the same as -s data=...: the check uses the splits that the folder's layout has, and no others
        return Experiment().override({"data": named} | parse_settings(settings))
    try:
        path = find(named)
    except ExperimentError as error:
        raise UsageError(
            f"there is no experiment, folder or table {named!r}",
            f"{error.why}; a folder needs one folder of images per class, and a table ends in .csv, .tsv or .parquet",
            error.fix,
        ) from error
    return ExperimentFile.run(path).experiment.override(parse_settings(settings))


def _page(experiment: Experiment, runs: str) -> Path:
    """The default file of the page, named after the experiment or after the path of the folder."""
    from harness.config.experiment_file import folder_name

    place = Path(os.path.relpath(experiment.data))
    parts = place.parts if ".." not in place.parts else place.resolve().parts[-2:]
    name = experiment.name or folder_name("-".join(parts) if parts else place.resolve().name)
    return Path(runs, FOLDER, f"{name}.html")


def _sources(experiment: Experiment) -> tuple[str | None, ...]:
    """The folders and tables of the images."""
    return experiment.data, experiment.valid_data, experiment.test_data


def _require_page(page: Path, experiment: Experiment) -> None:
    """Raises UsageError if the page would lie among the images, would replace data, or is not named like HTML."""
    from harness.data.source_of import source_of
    from harness.util.schema import is_inside

    data = Path(experiment.data)
    if data.is_dir() and is_inside(page, data):
        name = data.resolve().name
        raise UsageError(
            f"{page} would lie among the images",
            f"it is in the folder {experiment.data}, where every folder is a class",
            f"cd {quote(str(data.resolve().parent))}; harness data check {quote(name)}",
        )
    belongs = source_of(page, _sources(experiment), experiment.columns)
    if belongs:
        raise UsageError(f"{page} is not replaced", f"{belongs}, and would be lost", "--out with another file")
    if page.exists() and not page.is_file() and not page.is_dir():  # reading a pipe may block
        raise UsageError(f"{page} is not replaced", "it is a pipe or a device", "--out with another file")
    if page.suffix.lower() not in (".html", ".htm", ""):
        raise UsageError(f"--out {page} is not a page", "a page is HTML", f"--out {page.with_suffix('.html')}")


def _typed(data: str | None, settings: tuple[str, ...]) -> str:
    """The arguments that select what is checked, as typed."""
    words = [] if data is None else [data]
    return " ".join(quote(word) for word in [*words, *(word for setting in settings for word in ("-s", setting))])


def _command(record: DataCheckRecord) -> str:
    return " ".join(["harness data check", *([record.arguments] if record.arguments else [])])


def _say_next(record: DataCheckRecord, write: str | None, rows: int | None) -> None:
    from harness.report.texts import count

    if rows:
        edit = f"edit the column action of {write} ({count(rows, 'row')})"
        echo(f"  next  {edit}, then harness data apply {quote(str(write))}")
    elif rows == 0:
        echo(f"  fixes {write} has no row: moving or removing images would fix nothing")
    elif record.copies or record.suspects or record.odd:
        echo(f"  next  {_command(record)} --write fixes.csv   writes a table to edit and to apply")


def _lines(record: DataCheckRecord) -> list[str]:
    """One line per finding."""
    from harness.report.data_findings import findings_of

    counts = {side: sum(classes.values()) for side, classes in record.counts.items()}
    sides = ", ".join(f"{side} {count}" for side, count in counts.items())
    findings = findings_of(record)
    width = max(len(finding.title) for finding in findings)
    rows = [f"  {finding.title:<{width}}  {finding.text}" for finding in findings]
    return [f"{record.name}: {record.n} images ({sides})", *rows, *(f"  note: {note}" for note in record.notes)]


def _require_clean(record: DataCheckRecord) -> None:
    """Raises GateError if the check found a problem that makes an accuracy wrong."""
    from harness.report.texts import count
    from harness.runs.data_check_record import OddKind

    grave = {
        ("contradiction", "contradictions"): sum(found.is_contradiction for found in record.copies),
        ("set of copies between splits", "sets of copies between splits"): sum(
            found.between_sides for found in record.copies
        ),
        ("set of copies between folds", "sets of copies between folds"): sum(
            found.between_folds for found in record.copies
        ),
        ("unreadable image", "unreadable images"): sum(odd.kind == OddKind.UNREADABLE for odd in record.odd),
        ("shortcut in the files", ""): int(record.shortcut is not None and record.shortcut.is_found),
        ("split that could not be checked", "splits that could not be checked"): len(record.unchecked),
    }
    if any(grave.values()):
        raise GateError(
            f"{record.name} did not pass the check",
            ", ".join(count(n, *what) for what, n in grave.items() if n),
            f"{_command(record)} --write fixes.csv, edit it, harness data apply fixes.csv",
        )
