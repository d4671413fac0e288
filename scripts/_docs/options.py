"""Checks a `harness` command line of a page against click: the command and each option must exist."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harness.cli.main import harness


def find_mistake(arguments: Sequence[str]) -> str:
    """What is wrong with the command line, or ""."""
    command: click.Command = harness
    context = click.Context(harness, info_name="harness")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        inner = command.get_command(context, name)
        if inner is None:
            return f"{context.command_path} has no command {name}"
        command = inner
        context = click.Context(command, info_name=name, parent=context)
    options = {
        text: parameter
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for text in (*parameter.opts, *parameter.secondary_opts)
    }
    takes_value = False
    for argument in rest:
        if takes_value:
            takes_value = False
            continue
        option, equals, _ = argument.partition("=")
        if not argument.startswith("-") or argument == "-":
            continue
        if option not in options:
            return f"{context.command_path} has no option {option}"
        takes_value = not (equals or options[option].is_flag or options[option].count)
    return ""
