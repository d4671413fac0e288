"""`harness search`."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import STARTED
from harness.cli import main as cli
from harness.cli.output import echo, echo_fitting, echo_json
from harness.cli.run_command import parse_settings
from harness.cli.stopped import again
from harness.errors import StoppedError, Terminated, UsageError
from harness.trackers.follower import start_early
from harness.util import signals
from harness.util.console_log import keep_output_in
from harness.util.processes import python_module
from harness.util.schema import NAME

if TYPE_CHECKING:
    from harness.tuning.result import StudyResult
    from harness.tuning.search_plan import SearchPlan
    from harness.tuning.study import Study

TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


@click.command("search", short_help=cli.VERBS["search"])
@click.argument("experiment")
@click.option("-n", "--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Number of trials.")
@click.option(
    "-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Fix a field, so that it is not searched."
)
@click.option("--time", "limit", help="Time limit, as in 90s, 20m or 2h. No trial starts that would end later.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Number of processes on this machine."
)
@click.option("--study", "name", help="Name of the study. By default the name of the experiment.")
@click.option(
    "--storage",
    envvar="HARNESS_STORAGE",
    default="optuna.journal",
    show_default=True,
    help="Where the trials are stored: a file, a database URL, or grpc://HOST:PORT. Also $HARNESS_STORAGE.",
)
@click.option("--metric", default="valid_accuracy", show_default=True, help="Metric that ranks the trials.")
@click.option("--pareto", is_flag=True, help="Optimise two objectives: the metric and the training time.")
@click.option(
    "--pruner",
    type=click.Choice(["paired", "none"]),
    default="paired",
    show_default=True,
    help="paired: end a trial early if it is unlikely to become the best.",
)
@click.option(
    "--keep", type=click.IntRange(min=1), default=3, show_default=True, help="Number of trials whose weights are kept."
)
@click.option("--dry-run", is_flag=True, help="Print the plan, and search nothing.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--allow-leak", is_flag=True, help="Continue if validation images are also training images.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
@click.option("--worker", is_flag=True, hidden=True, help="Be one of the processes of --workers.")
def command(experiment: str, settings: tuple[str, ...], limit: str | None, **options: Any) -> None:
    """Search for the best settings of EXPERIMENT with Optuna.

    The search covers the settings in the experiment's search_space. The default is learning rate, batch size and
    freezing. Run the same command again to continue an interrupted study. Machines that share --storage work on the
    same study.
    """
    from harness.config.experiment_file import ExperimentFile, find, folder_name
    from harness.util.files import require_writable

    name = options.pop("name")
    if name is not None and NAME.fullmatch(name) is None:
        raise UsageError(
            f"--study {name} is not a valid name",
            "it becomes the name of a folder",
            "lower-case letters, digits, '.', '_', '-'",
        )
    seconds = _seconds(limit)
    if options["workers"] > 1 and str(options["storage"]).startswith("sqlite"):
        raise UsageError(
            "SQLite does not work with several processes",
            "two processes could take the same trial",
            "leave out --storage, to use a journal file",
        )
    worker, workers = options.pop("worker"), options.pop("workers")
    dry_run, as_json = options.pop("dry_run"), options.pop("as_json")
    with contextlib.redirect_stdout(sys.stderr), cli.without_collecting():
        file = ExperimentFile.run(find(experiment))
        chosen = file.experiment.override(parse_settings(settings)).named(folder_name(file.path.stem))
        if not dry_run and not worker:
            require_writable(Path(options["runs"], chosen.name or "experiment"))
        follower = None if dry_run or worker else start_early(chosen.trackers)
        from harness.tuning.prepare import Begin, SearchOptions, plan_lines, prepare_search
        from harness.tuning.progress import Deadline, Progress

        begin: Begin = "never" if dry_run else "elsewhere" if worker else "now"
        asked = SearchOptions(study=name or "", **{**options, "runs": Path(options["runs"])})
        search, study = prepare_search(file, chosen, asked, begin=begin)
        if not dry_run:
            keep_output_in(search.folder.path)
        if not worker:
            with contextlib.suppress(OSError):  # the reader of stderr may have closed it
                echo_fitting(*plan_lines(search, study, workers), err=True)
    if dry_run:
        if as_json:
            echo_json({"study": study.name, "trials": search.total, "space": search.folder.record.space})
        return
    with contextlib.redirect_stdout(sys.stderr):
        progress = Progress(search.total, len(search.plan.splits), workers, quiet=worker)
        deadline = Deadline(seconds)
        if worker:
            _be_worker(search, study, deadline, progress)
            return
        from harness.tuning.conclude import mirrored_to_mlflow

        with mirrored_to_mlflow(search, follower), _explain_resume():
            result = _search(search, study, deadline, progress, workers, asked.storage)
    if as_json:
        plain = {"study": study.name, "folder": str(search.folder.path), **result.to_dict()}
        echo_json({**plain, "seconds": round(time.perf_counter() - STARTED, 3)})
        return
    from harness.tuning.report import report

    echo_fitting(*report(search, study, result, time.perf_counter() - STARTED, _longer(search.total)))


def _search(search: SearchPlan, study: Study, deadline: Any, progress: Any, workers: int, storage: str) -> StudyResult:
    from harness.tuning.run_search import run_search
    from harness.tuning.trial_loop import run_trials
    from harness.tuning.worker_processes import supervise

    def trials() -> None:
        with contextlib.closing(progress):
            if workers == 1:
                run_trials(search, study, deadline, progress)
            else:
                supervise(study, _worker_command(), workers, storage, progress)

    return run_search(search, study, trials)


def _be_worker(search: SearchPlan, study: Study, deadline: Any, progress: Any) -> None:
    from harness.tuning.trial_loop import run_trials
    from harness.tuning.worker_processes import end_with_parent

    end_with_parent()
    with contextlib.closing(progress):
        run_trials(search, study, deadline, progress)


def _worker_command() -> list[str]:
    """The typed command without --storage: a list of processes must not show its password."""
    typed = re.sub(r"\0--storage[=\0][^\0]*", "", "\0" + "\0".join(click.get_current_context().obj["typed"]))
    return python_module("harness", *typed[1:].split("\0"), "--worker")


@contextlib.contextmanager
def _explain_resume() -> Iterator[None]:
    signals.advise("the finished trials are saved; the same command continues the study", _typed())
    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        from harness.tuning.trial import Paused

        if isinstance(error, Paused):
            why = "the finished trials are saved; the same command continues the study"
            raise StoppedError("interrupted by Ctrl-C, after a fold", why, _typed()) from error
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            echo(f"to continue: {_typed()}", err=True)
        raise


def _typed() -> str:
    """The command as typed, without passwords."""
    return again(click.get_current_context().obj["typed"])


def _longer(trials: int) -> str:
    """The same command for twice as many trials."""
    typed = re.sub(r" (-n|--trials)[ =]\d+", "", _typed())
    return f"{typed} --trials {2 * trials}"


def _seconds(limit: str | None) -> float | None:
    if limit is None:
        return None
    match = TIME.fullmatch(limit.strip())
    if match is None:
        raise UsageError(f"--time {limit} is not a time", "a time is a number, with s, m or h after it", "--time 20m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
