"""Sends a run folder to trackers that lack it, after the run has ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from shlex import quote

from harness.errors import StorageError, UsageError
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.trackers.mlflow.model_address import address_of, model_address
from harness.trackers.mlflow.quick_look import has_all
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import tracking_uri
from harness.trackers.pictures import are_missing, draw_run
from harness.trackers.sending import sending_alone
from harness.trackers.tensorboard.run import event_files, write_again
from harness.util.console import print_line


def sync(folder: RunFolder, trackers: Sequence[str], force: bool = False) -> str:
    """Sends each of `trackers` all that the run folder holds; what they have already stays as it is.

    Draws missing plots first. Waits if another process is sending the run to MLflow. Skips a tracker that has the whole
    run, unless `force`.

    Returns:
        The address of its model for MLflow's commands; empty if MLflow has no model of it.

    Raises:
        UsageError: The run is still running, and `force` is not given.
        StorageError: Its folder cannot be written.
        RemoteError: MLflow refuses the run or cannot be reached.
    """
    if not os.access(folder.path, os.W_OK):
        here = quote(str(folder.path))
        fix = f"chmod u+w {here}, or cp -r {here} FOLDER, then harness sync FOLDER"
        raise StorageError(f"{folder.path} cannot be written", "the run folder records what was sent", fix)
    if folder.status is Status.RUNNING and not force:
        raise UsageError(
            f"{folder.path} is still running",
            f"its process {folder.record.pid} on {folder.record.host} sends each epoch during the run",
            "wait until it has ended, or use --force if you know that it has ended",
        )
    if folder.is_test and "tensorboard" in trackers:
        raise UsageError(f"{folder.path} is a test", "it has no epochs for TensorBoard to show", "--to mlflow")
    lacks_plots = are_missing(folder)
    if lacks_plots:
        draw_run(folder)
    address = ""

    def to_mlflow(folder: RunFolder) -> None:
        nonlocal address
        address = _to_mlflow(folder)

    send: dict[str, Callable[[RunFolder], None]] = {"tensorboard": write_again, "mlflow": to_mlflow}
    try:
        for name in trackers:
            if not force and not lacks_plots and _has_all(name, folder):
                continue
            print_line(f"{folder.path}: sending to {name}")
            send[name](folder)
            folder.record_trackers({name: COMPLETE})
    except StorageError as error:
        error.then(f"harness sync {quote(str(folder.path))}")
        raise
    return address or (model_address(folder) if "mlflow" in trackers else "")


def _has_all(tracker: str, folder: RunFolder) -> bool:
    """Whether a tracker certainly has the whole run. MLflow's store may have changed since that was recorded."""
    if tracker == "mlflow":
        return has_all(tracking_uri(), folder)
    return folder.record.trackers.get("tensorboard") == COMPLETE and bool(event_files(folder.path))


def _to_mlflow(folder: RunFolder) -> str:
    """Sends the run to MLflow. Returns its model's address there; empty if the model was left out or there is none."""
    with sending_alone(folder):
        mirror = MLflow(folder)
        try:
            mirror.finish()
        finally:
            for warning in mirror.warnings:
                print_line(f"warning: {warning}")
    if mirror.left_out:
        print_line(f"note: the model is {mirror.left_out}")
    has_model = not mirror.left_out and not folder.is_test and folder.model_to_use() is not None
    return address_of(mirror.run_id) if has_model else ""
