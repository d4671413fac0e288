"""`harness reproduce`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_fitting, echo_json


@click.command("reproduce", short_help=cli.VERBS["reproduce"])
@click.argument("run")
@click.option("--dry-run", is_flag=True, help="Show what differs from the run, and train nothing.")
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(run: str, dry_run: bool, trust: bool, device: str, runs: str, as_json: bool) -> None:
    """Train RUN again, and compare the two results. The present code, data and versions are used.

    RUN is the folder or the id of a run. The word champion names the run that the champion came from. The command
    first lists what differs from the first time; it does not check out the old commit.

    Exit code 3 if the result differs, 4 if the images differ.
    """
    from harness.runs.champion import named_so
    from harness.runs.find import find_run
    from harness.runs.run_folder import RunFolder
    from harness.util.files import require_writable
    from harness.workflows.reproduce import IDENTICAL, compare, differences, planned, repeat

    champion = named_so(run)
    old = find_run(run, Path(runs)) if champion is None else RunFolder.open(champion.run)
    if not dry_run:
        require_writable(Path(runs))
    plan = planned(old, device, trust)
    changes = differences(old, plan)
    lines = [str(each) for each in changes] or ["nothing: same code, data, versions and device as the run"]
    notes = [
        "  settings   from the copy of the experiment in the run's folder",
        *(f"  differs    {text}" for text in lines),
    ]
    echo_fitting(*plan.lines(), *([] if dry_run and not as_json else notes), err=True)
    output = {"run_dir": str(old.path), "differs": [dataclasses.asdict(each) for each in changes]}
    if dry_run:
        if as_json:
            echo_json(output)
        else:
            echo(*notes)
        return
    new = RunFolder.open(repeat(plan, old, Path(runs), trust).run_dir)
    with new.changing():  # the background process that sends to MLflow may change the record, too
        new.update(reproduces=old.id)
    outcome = compare(old, new)
    if as_json:
        echo_json({**output, "again": str(new.path), "outcome": outcome.word, **dataclasses.asdict(outcome)})
    else:
        rows = {
            "then": f"{outcome.then}, {old.path}",
            "now": f"{outcome.now}, {new.path}",
            **({} if outcome.word == IDENTICAL else {"difference": outcome.evidence}),
            "images": f"{outcome.changed} have another predicted class",
        }
        echo("", f"{old.id}: {outcome.word}")
        echo_fitting(*(f"  {name:<10}  {text}" for name, text in rows.items()))
    outcome.require_same()
