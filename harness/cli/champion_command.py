"""`harness champion`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_fitting, echo_json

if TYPE_CHECKING:
    from harness.runs.champion import Champion
    from harness.runs.champion_record import ChampionRecord
    from harness.runs.run_folder import RunFolder


@click.group("champion", short_help=cli.VERBS["champion"])
def command() -> None:
    """Manage the champion: the best model of the project, kept in models/ under DVC."""


@command.command(short_help="Make a run's model the champion.")
@click.argument("run")
@click.option("--data", help="Test images, one folder per class. By default the experiment's test_data.")
@click.option(
    "--refit/--no-refit",
    default=True,
    show_default=True,
    help="First train a model on all images, if the run has none.",
)
@click.option("--force", is_flag=True, help="Promote even if the gate fails or a champion is better. It is recorded.")
@cli.trust_option
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def promote(run: str, data: str | None, refit: bool, force: bool, trust: bool, runs: str, as_json: bool) -> None:
    """Test RUN's model, compare it with the champion on the same images, and make it the champion.

    The model is the one trained on all images. If the run has none, it is trained now. With --no-refit, the model of
    the best fold is used.

    The model is also compared with the best earlier champion. Exit code 3 if the run has not finished, if the model
    fails its gate, or if one of the champions is right on more images. Then nothing changes.
    """
    from harness.runs.record_file import to_plain
    from harness.workflows.promote import promote as make

    def publish(champion: Champion, folder: RunFolder) -> list[str]:
        _advise(champion.record, "promoted")
        return _version_notes(champion.record, folder.path, trust)

    made = make(run, data, refit=refit, force=force, trusted=trust, runs=Path(runs), publish=publish)
    record = made.champion.record
    if as_json:
        echo_json({**to_plain(record), "notes": made.notes})
        return
    rows = {
        "model": f"{made.champion.checkpoint}, {_which(record)} of {made.run.id}",
        "accuracy": f"{made.evaluation.accuracy} on {made.evaluation.images.root}{record.test.caveat}",
        **({"copies": near} if (near := made.evaluation.near_copies_text) else {}),
        "gate": _gate(record.test.gate.passed, record.test.gate.min_accuracy),
        "tested": str(made.evaluation.looks or "not counted"),
        **_compared(record),
        **{f"note {i}": note for i, note in enumerate(made.evaluation.notes, start=1)},
    }
    _print(f"champion {record.number}: {record.run.name}", rows, made.notes)


@command.command(short_help="Show the champion's accuracy and where it came from.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as one JSON object on stdout.")
def show(as_json: bool) -> None:
    """Show the champion: its accuracy on test images, and the code, data and run that it came from."""
    from harness.runs.champion import required
    from harness.runs.record_file import to_plain

    champion = required()
    if as_json:
        echo_json(to_plain(champion.record))
        return
    _print(f"champion {champion.number}: {champion.record.run.name}", _rows(champion.record), [])


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def history(as_json: bool) -> None:
    """Show all champions, oldest first."""
    from harness.runs.champion import history as read_history
    from harness.runs.champion import present
    from harness.runs.record_file import to_plain

    records, now = read_history(), present()
    if as_json:
        echo_json({"champions": to_plain(records), "champion": now.number if now else None})
        return
    if not records:
        echo("no champion yet: harness champion promote RUN")
    for record in records:
        mark = "*" if now is not None and record.number == now.number else " "
        forced = ", forced" if record.forced else ""
        forced += f", rolled back {record.rolled_back[:16]}" if record.rolled_back else ""
        echo(
            f"{mark} {record.number:>3}  {record.promoted[:16]}  {100 * record.test.accuracy:5.1f} % of "
            f"{record.test.n}{record.test.caveat}{forced}  {record.run.name} {record.run.id}"
        )


@command.command()
def rollback() -> None:
    """Make the previous champion the champion again."""
    from harness.runs.champion import alone
    from harness.runs.champion import rollback as back

    with alone():
        champion = back()
        _advise(champion.record, "restored")
        notes = _version_notes(champion.record, None)
    _print(f"champion {champion.number} again: {champion.record.run.name}", _rows(champion.record), notes)


def _advise(record: ChampionRecord, what: str) -> None:
    """Sets the message that a signal prints while the change is sent to MLflow and DVC."""
    from harness.util.signals import advise

    kept = f"champion {record.number} is {what}, but MLflow or DVC may not have it yet"
    advise(kept, "harness data track models; harness champion show")


def _version_notes(record: ChampionRecord, run: Path | None, trusted: bool = False) -> list[str]:
    """Registers the champion in MLflow and DVC, and returns lines about it. A failure does not undo the promotion."""
    return [*_registered(record, run, trusted), *_versioned()]


def _registered(record: ChampionRecord, run: Path | None, trusted: bool) -> list[str]:
    from harness.errors import HarnessError
    from harness.runs.champion import note_version
    from harness.util.packages import installed

    if not installed("mlflow"):
        return []
    from harness.trackers.mlflow import registry
    from harness.trackers.mlflow.model_address import SERVE
    from harness.workflows.experiment_copy import model_function

    version = record.registry.version
    try:
        if version is None and run is not None:
            version = registry.register(run, record, model_function(run / "checkpoints" / "model", trusted))
            note_version(record, version)
        if version is None:
            return ["not in MLflow's registry: this champion was not registered when it was promoted"]
        registry.set_alias(version, record)
    except HarnessError as error:
        return [f"not in MLflow's registry: {error.what}: {error.why} ({error.fix})"]
    addresses = [f"models:/{registry.NAME}@{alias}" for alias in registry.aliases(record)]
    named = " and ".join(addresses) + (" are" if len(addresses) > 1 else " is")
    return [f"{named} version {version} in MLflow", f"{SERVE} {addresses[0]}   serves it"]


def _versioned() -> list[str]:
    from harness.errors import HarnessError
    from harness.runs.champion import FOLDER
    from harness.versioning.repo import track

    try:
        files = " ".join(track(str(FOLDER), wait=True))
    except HarnessError as error:
        return [f"not under DVC: {error.what}: {error.why} ({error.fix})"]
    return [f"git commit {files} -m ...   keeps the version; harness data push   sends it"]


def _rows(record: ChampionRecord) -> dict[str, str]:
    test, run = record.test, record.run
    low, high = (100 * bound for bound in test.interval)
    interval = f"95 % interval {low:.1f} to {high:.1f} %, n = {test.n}"
    code = (run.git.commit if run.git else None) or "not in a commit"
    data = "" if run.data is None else f"{run.data.folder}: {run.data.digest}"
    if run.data and run.data.dvc:
        data += f", {run.data.dvc.file} {run.data.dvc.md5}"
    return {
        "accuracy": f"{100 * test.accuracy:.1f} % ({interval}) on {test.data}{test.caveat}",
        "gate": _gate(test.gate.passed, test.gate.min_accuracy),
        "promoted": record.promoted,
        "run": f"{run.name} {run.id}, {_which(record)}",
        "code": code + (", with uncommitted changes" if run.git and run.git.dirty else ""),
        "data": data,
        **_compared(record),
        "sha256": record.checkpoint.sha256,
    }


def _compared(record: ChampionRecord) -> dict[str, str]:
    rows = {"compared": record.comparison.says if record.comparison else _no_comparison(record)}
    return rows | ({"and": record.best_before.says} if record.best_before else {})


def _no_comparison(record: ChampionRecord) -> str:
    replaced = record.replaced
    return "there was no champion before" if replaced is None else f"champion {replaced} has other classes"


def _which(record: ChampionRecord) -> str:
    """Names the champion among the models of its run."""
    fold = record.checkpoint.fold
    return "the model trained on all images" if fold is None else f"the model of fold {fold}"


def _gate(passed: bool, least: float) -> str:
    return f"{'passed' if passed else 'FAILED, forced'} ({100 * least:g} %)"


def _print(title: str, rows: dict[str, str], notes: Sequence[str]) -> None:
    echo(title)
    for name, text in rows.items():
        echo_fitting(f"  {name:<9}  {text}")
    for note in notes:
        echo_fitting(f"  {'next':<9}  {note}" if note.startswith("git") else f"  {'':<9}  {note}")
