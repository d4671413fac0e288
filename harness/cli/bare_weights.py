"""Options that describe a bare state dict. All commands that take a model share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from harness.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
OPTIONS = (
    click.option("--classes", help="For a bare state dict: class names in the order of its outputs, as in sea,forest."),
    click.option(
        "--model",
        "architecture",
        help="For a bare state dict: its model, such as resnet18. By default the model named in the file name.",
    ),
    click.option(
        "--image-size",
        type=click.IntRange(16, 4096),
        help="For a bare state dict: image size in pixels. By default 224.",
    ),
    click.option(
        "--weights-key", help="For a bare state dict: the key of the weights in the file, if several fit the model."
    ),
)


def bare_weights_options(command: Command) -> Command:
    """Adds `classes`, `architecture`, `image_size` and `weights_key` to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def class_names(typed: str | None) -> list[str] | None:
    """Returns `sea,forest` as a list, or None if nothing was typed. Raises UsageError for fewer than two names."""
    if typed is None:
        return None
    names = [name.strip() for name in typed.split(",")]
    if len({*names}) < len(names) or len(names) < 2 or not all(names):
        raise UsageError(
            f"--classes {typed} is not a list of classes",
            "it needs at least two names, all different",
            "--classes sea,forest",
        )
    return names
