"""The group of verbs, and what every verb shares: lazy loading, three-line errors, exit codes, signals."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import importlib
import math
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from harness.cli.fitting_fix import fitting_fix
from harness.cli.output import echo, escape_what_cannot_be_encoded
from harness.cli.stopped import again, say_from_outside, say_stopped
from harness.cli.usage_errors import usage_error
from harness.errors import (
    FULL,
    READ_ONLY,
    HarnessError,
    StoppedError,
    Terminated,
    UsageError,
    UserCodeError,
    nearest,
    storage_error,
)
from harness.util import signals
from harness.util.addresses import addresses, without_secrets
from harness.util.console_log import copied_output
from harness.util.text import DOCUMENTATION
from harness.util.user_code import OURS, TRACEBACK, frame_of, short_path
from harness.version import __version__

VERBS = {
    "cache": "Show or clear cached features and decoded images.",
    "champion": "Promote, show or roll back the best model of the project.",
    "compare": "Compare runs, trials, tests and the champion on the same images.",
    "data": "Check and fix data sets, and keep versions with DVC.",
    "doctor": "Check that everything a run needs is installed and works.",
    "export": "Export a model to a file for other programs.",
    "init": "Create a project with an experiment that runs.",
    "list": "List the experiments and the latest runs.",
    "new": "Write an experiment for a folder of images.",
    "predict": "Predict the class of images.",
    "refit": "Train the final model on all images of a run.",
    "report": "Write an HTML report of a run, a study or a test.",
    "reproduce": "Train a run again, and compare the results.",
    "resume": "Continue an interrupted run.",
    "run": "Train an experiment by cross-validation.",
    "runs": "Show the disk space of runs, and remove runs.",
    "search": "Search for better settings of an experiment with Optuna.",
    "sync": "Send a run to the trackers that it was not sent to.",
    "test": "Test a model on new images, and check its gate.",
    "ui": "Start TensorBoard and MLflow, and print their addresses.",
}


COPIED = ("refit", "reproduce", "resume", "run", "search", "test")  # their output is kept in a run's folder
ADDRESSES = ("MLFLOW_TRACKING_URI", "HARNESS_STORAGE")  # environment variables


class Share(click.FloatRange):
    """A number from 0 to 1; `nan` is none, though it is not out of any range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range 0<=x<=1.", param, ctx)
        return number


SHARE = Share(0, 1)

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Run the experiment file that came with the model although it was made elsewhere. Read it first.",
)


class Commands(click.Group):
    """Commands that are imported when they are called, so that help and mistakes are answered at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.{cmd_name}_command").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise UsageError(
                f"there is no command {args[0]!r}{nearest(args[0], VERBS)}",
                f"the commands are {', '.join(VERBS)}",
                "harness --help",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Commands,
    epilog=f"Documentation: {DOCUMENTATION}/start.md (a first project), {DOCUMENTATION}/index.md (all pages).",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error. Goes anywhere on the line.")
def harness(debug: bool) -> None:
    """Train image classifiers on folders of images, by cross-validation.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 gate not met, 4 data, 5 credentials or remote,
    129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs a command line and ends the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signals.handle(lambda number: say_from_outside(number, arguments))
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    escape_what_cannot_be_encoded()
    try:
        code = run_command([a for a in arguments if a != "--debug"], debug="--debug" in arguments)
    except (KeyboardInterrupt, Terminated) as stop:  # it has come after the command's end
        code = 128 + _number(stop)
    signals.ignore()  # all is printed and written: another signal must not change the end
    _leave(code)


def run_command(arguments: list[str], debug: bool = False) -> int:
    """Runs a command line and returns its exit code. Every failure ends as three lines on stderr."""
    with copied_output(again(arguments)) if arguments[:1] and arguments[0] in COPIED else contextlib.nullcontext():
        code = _run(arguments, debug)
        follower = sys.modules.get("harness.trackers.follower")
        if follower is not None and not signals.stopped_by():
            follower.wait_for_rest()
        return code


def _run(arguments: list[str], debug: bool) -> int:
    """Returns the exit code of a command, once its output is printed; MLflow may still lack a part of a run."""
    signals.begin()
    known = addresses([*arguments, *(os.environ.get(name, "") for name in ADDRESSES)])
    try:
        with harness.make_context("harness", [*arguments] or ["--help"], obj={"typed": arguments}) as context:
            harness.invoke(context)
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except BaseException as error:  # a callback's SystemExit is a failure
        number = _number(error)
        if number:
            say_stopped(number, arguments)
            return 128 + number
        if isinstance(error, HarnessError):
            error.fix = fitting_fix(error.fix, arguments)
            return _failed(error, debug, error.exit_code, known)
        if isinstance(error, click.ClickException):
            return _failed(usage_error(error, known), debug, 2, known)
        if isinstance(error, BrokenPipeError) and _is_of_printing(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has ended: no more output
            return 1
        failure = _unforeseen(error, known)
        return _failed(failure, debug, failure.exit_code, known)
    return 0


@contextlib.contextmanager
def only_a_warning() -> Iterator[None]:
    """Within, a HarnessError prints one line and does not end the command: its main work is done."""
    try:
        yield
    except HarnessError as error:
        echo(f"warning: {error.what}: {error.why} ({error.fix})", err=True)


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Within, garbage collection is off: it would take a second of the imports, and free nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _leave(code: int) -> NoReturn:
    """Ends the process at once: to free all objects that torch has imported takes 1.6 seconds."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # its reader has ended
            stream.flush()
    os._exit(code)


def run_file(path: str) -> NoReturn:
    """Runs an experiment file as `harness run` does, and ends the process.

    Put it at the end of an experiment file. Then `python experiments/photos.py` does the same as
    `harness run experiments/photos.py`, with the same options.

    Args:
        path: The experiment file, which is `__file__` inside that file.

    Returns:
        Never. The process ends at once, with the exit code of `harness run`.

    Example:
        The last lines of `experiments/photos.py`:

        >>> import harness
        >>> experiment = harness.Experiment(data="photos")
        >>> if __name__ == "__main__":
        ...     harness.run_file(__file__)
    """
    main(["run", short_path(path), *sys.argv[1:]])


def _number(error: BaseException) -> int:
    """The number of the signal that a command's error is due to; 0 if none came.

    What a signal raises may be another error by now: a library has turned it into one, or a program that got the same
    signal has failed.
    """
    if isinstance(error, Terminated):
        return error.number
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return signal.SIGINT
    return 0 if isinstance(error, StoppedError) else signals.stopped_by()


def _failed(error: HarnessError, debug: bool, code: int, known: Sequence[str]) -> int:
    if debug:
        echo(*without_secrets(traceback.format_exc(), *known).split("\n"), err=True)
    text = without_secrets(str(error), *known) if isinstance(error, UserCodeError) else str(error)
    echo(*text.split("\n"), err=True)
    return code


def _unforeseen(error: BaseException, known: Sequence[str]) -> HarnessError:
    """The error for an exception without a name of ours: in a function of the user's, or a defect of `harness`."""
    why = f"{type(error).__name__}: {without_secrets(_last_line(error), *known)}"
    users = frame_of(error)
    if users:
        return UserCodeError(f"code of yours failed at {users}", why, f"mend that line; {TRACEBACK}")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UsageError(f"cannot open {error.filename}", "its name is too long", "a shorter name")
    if isinstance(error, OSError) and error.errno in (*FULL, *READ_ONLY):
        name = error.filename or ("the output" if _is_of_printing(error) else "a file")
        return storage_error(error, name, "ls -ld of that file and its folder; chmod, or another")
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if Path(f.filename).is_relative_to(OURS)), frames[-1])
    return HarnessError(
        f"internal error at {short_path(frame.filename)}:{frame.lineno}",
        why,
        "report it on the project's page, under Issues, with what the same command with --debug prints",
    )


def _is_of_printing(error: BaseException) -> bool:
    """Whether an error arose while a line was printed; all are, by click."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.name == "echo" and Path(frame.filename).parent.name == "click" for frame in frames)


def _last_line(error: BaseException) -> str:
    """The message; of an error in a loader process, whose message is its whole traceback, the last line."""
    text = str(error).strip()
    return text.splitlines()[-1] if "Original Traceback" in text else text
