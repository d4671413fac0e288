"""Options for what the file of a bare state dict does not say: the same for every command that takes a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from harness.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
OPTIONS = (
    click.option("--classes", help="For a bare state dict: names of its outputs, in order, such as sea,forest."),
    click.option(
        "--model",
        "architecture",
        help="For a bare state dict: its model, such as resnet18. By default the one that its file's name holds.",
    ),
    click.option(
        "--image-size",
        type=click.IntRange(16, 4096),
        help="For a bare state dict: image size in pixels. By default 224.",
    ),
    click.option(
        "--weights-key", help="For a bare state dict: the part of the file to take, if several fit the model."
    ),
)


def bare_weights_options(command: Command) -> Command:
    """Adds `classes`, `architecture`, `image_size` and `weights_key` to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def class_names(typed: str | None) -> list[str] | None:
    """`sea,forest` as a list; None if nothing was typed. Raises UsageError unless it is two names or more."""
    if typed is None:
        return None
    names = [name.strip() for name in typed.split(",")]
    if len({*names}) < len(names) or len(names) < 2 or not all(names):
        raise UsageError(
            f"--classes {typed} is no list of classes",
            "it takes two names or more, all different",
            "--classes sea,forest",
        )
    return names
