"""`harness runs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.workflows.removal.remove import Removal

MLFLOW_FILES = Path("mlruns")
SORTS = ("age", "size", "accuracy")
STATUSES = ("finished", "failed", "interrupted", "died", "pruned")

runs_option = click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
models_option = click.option("--models-only", is_flag=True, help="Remove only checkpoints, and keep all results.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask. Required if there is no terminal.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


@click.group("runs", short_help=cli.VERBS["runs"], invoke_without_command=True)
@runs_option
@click.option("--sort", type=click.Choice(SORTS), default="age", show_default=True, help="Order of the list.")
@json_option
@click.pass_context
def command(context: click.Context, runs: str, sort: str, as_json: bool) -> None:
    """Show the disk space of every run, test and study, and what uses it.

    A file with several hard links counts once. The trials of a study count as part of the study. To remove runs, use
    `harness runs remove` or `harness runs prune`.
    """
    if context.invoked_subcommand is not None:
        return
    from harness.cli.runs_text import kinds_text, print_rows, run_fields
    from harness.runs.removal import REMOVED, taken_away
    from harness.util.disk import bytes_text, entries_below, room_of
    from harness.workflows.removal.protected import champions
    from harness.workflows.removal.stored import room_of_all, stored_runs

    found = stored_runs(Path(runs))
    if sort == "size":
        found.sort(key=lambda item: item.bytes, reverse=True)
    elif sort == "accuracy":
        found.sort(key=lambda item: -1.0 if item.accuracy is None else item.accuracy, reverse=True)
    total = room_of_all(found)
    mlflow = room_of(entries_below(MLFLOW_FILES)) if MLFLOW_FILES.is_dir() else 0
    if as_json:
        echo_json(
            {"folder": runs, "bytes": total, "mlruns_bytes": mlflow, "runs": [run_fields(item) for item in found]}
        )
        return
    if taken_away(Path(runs)):
        text = f"a removal was interrupted: the next harness runs remove or prune finishes it ({runs}/{REMOVED})"
        echo(text, err=True)
    if not found:
        echo(f"no runs in {runs} yet: harness run EXPERIMENT")
        return
    print_rows(found, champions(found, Path(runs)))
    more = f"; MLflow keeps {bytes_text(mlflow)} in {MLFLOW_FILES}" if mlflow else ""
    echo(f"{bytes_text(total)} in {kinds_text(found)} in {runs}{more}")


@command.command("remove")
@click.argument("run", nargs=-1, required=True)
@models_option
@dry_run_option
@yes_option
@runs_option
@json_option
def remove(run: tuple[str, ...], models_only: bool, dry_run: bool, yes: bool, runs: str, as_json: bool) -> None:
    """Remove each RUN from the disk, from TensorBoard and from MLflow.

    RUN is a run, a test or a study: its folder, its id, or the last characters of its id. Some are never removed: those
    that are running, the runs and tests that a champion came from, and runs that another run needs. Files that no run
    wrote stay where they are.
    """
    from harness.workflows.removal.remove import plan_removal

    _finish_earlier(Path(runs), dry_run)
    kept = _carry_out(plan_removal(run, Path(runs), models_only), Path(runs), dry_run, yes, as_json)
    for path, why in kept.items():
        raise UsageError(f"{path} is not removed", why, "the same command later")


@command.command("prune")
@click.option(
    "--keep-best",
    metavar="N",
    type=click.IntRange(min=0),
    help="Keep the N most accurate runs of each experiment and data set.",
)
@click.option("--older-than", help="Remove runs that started longer ago than this: 30d, 12h, 90m or 2w.")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Remove runs with this status. May be repeated."
)
@models_option
@dry_run_option
@yes_option
@runs_option
@json_option
def prune(
    keep_best: int | None,
    older_than: str | None,
    status: tuple[str, ...],
    models_only: bool,
    dry_run: bool,
    yes: bool,
    runs: str,
    as_json: bool,
) -> None:
    """Remove the runs that meet all conditions: from the disk, TensorBoard and MLflow.

    --keep-best only removes finished runs, and ranks them by their accuracy on images that the models were not trained
    on. It removes no tests, no studies and no interrupted runs.

    Some are never removed: those that are running, the runs and tests that a champion came from, and runs that another
    run needs. Files that no run wrote stay where they are.
    """
    from harness.workflows.removal.prune import Conditions, seconds_of
    from harness.workflows.removal.remove import plan_pruning

    _finish_earlier(Path(runs), dry_run)
    conditions = Conditions(keep_best, None if older_than is None else seconds_of(older_than), status)
    if not as_json:
        echo(f"removing each run that {conditions}")
    _carry_out(plan_pruning(conditions, Path(runs), models_only), Path(runs), dry_run, yes, as_json)


def _finish_earlier(runs: Path, dry_run: bool) -> None:
    """Finishes interrupted removals, unless this is a dry run. The user has confirmed them already."""
    from harness.cli.runs_text import print_earlier
    from harness.workflows.removal.remove import finish_removals

    if not dry_run:
        print_earlier(finish_removals(runs))


def _carry_out(plan: Removal, runs: Path, dry_run: bool, yes: bool, as_json: bool) -> dict[Path, str]:
    """Shows the plan, asks, and removes. Returns the runs that stay because they were started again meanwhile."""
    from harness.cli.runs_text import count_text, outcome_fields, plan_fields, print_outcome, print_plan
    from harness.util.signals import advise
    from harness.workflows.removal.remove import remove as remove_all

    if not as_json:
        print_plan(plan)
    if dry_run or not plan.going:
        if as_json:
            echo_json(plan_fields(plan) | {"removed": []})
        return {}
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError(
            "nothing was removed", "there is no terminal to ask", "the same command with --yes, or with --dry-run"
        )
    if not yes and not click.confirm(f"remove {count_text(len(plan.going))} permanently?", err=True):
        echo("nothing was removed")
        return {}
    advise("what was removed until now stays removed", "the same command again, which removes the rest")
    outcome = remove_all(plan, runs)
    mlflow = _remove_from_mlflow()
    if as_json:
        echo_json(plan_fields(plan) | outcome_fields(outcome, mlflow))
    else:
        print_outcome(outcome, plan.models_only, mlflow)
    outcome.require_whole()
    return outcome.kept


def _remove_from_mlflow() -> list[str]:
    """Removes from MLflow what is on the list of removed runs. Returns lines to print."""
    from harness.cli.runs_text import count_text
    from harness.runs.pending_removals import has_pending, pending_removals
    from harness.trackers.mlflow.store import tracking_uri
    from harness.util.packages import installed

    if not has_pending() or not installed("mlflow"):
        return []
    if not pending_removals(tracking_uri()):
        return ["another MLflow store still has some of them: set MLFLOW_TRACKING_URI to that store, then harness sync"]
    echo("removing them from MLflow ...", err=True)
    from harness.trackers.mlflow.removal import remove_pending

    done = remove_pending()
    lines = [f"MLflow: {count_text(done.runs)} removed, folds included"] if done.runs else []
    if done.left:
        lines.append(f"MLflow still has {count_text(done.left)}: the next run or harness sync removes them there")
    return [*lines, *(f"note: {note}" for note in done.notes)]
