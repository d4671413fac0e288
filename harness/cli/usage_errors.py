"""Errors in a command line, as click finds them, in the three lines of every error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import click

from harness.errors import UsageError
from harness.util.addresses import without_secrets


def usage_error(error: click.ClickException, known: Sequence[str]) -> UsageError:
    """Returns the error to print; `known` are the addresses whose passwords are hidden."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "harness"
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help page
        commands = ", ".join(context.command.list_commands(context)) if context else ""
        return UsageError(f"{path} needs a command", f"its commands are {commands}", f"{path} --help")
    message = without_secrets(error.format_message(), *known)
    if "PRIVATE KEY" in message or "private_key" in message:
        message = "a value looks like a key, and is not shown"
    if context and isinstance(error, click.MissingParameter):
        return UsageError(message, f"{path} needs it", f"{_usage(context)}; {path} --help shows all options")
    if context and isinstance(error, click.NoSuchOption) and (field := _field(error.option_name, context)):
        return UsageError(message, f"{field} is a field of an experiment", f"{_usage(context)} -s {field}=VALUE")
    return UsageError(message, f"{path} does not accept it", f"{path} --help")


def _usage(context: click.Context) -> str:
    """How the command is typed: "harness run EXPERIMENT"."""
    pieces = context.command.collect_usage_pieces(context)
    return " ".join([context.command_path, *(piece for piece in pieces if piece != "[OPTIONS]")])


def _field(option: str, context: click.Context) -> str | None:
    """The field of an experiment that somebody typed as an option, if the command has `-s`."""
    from harness.config.experiment import Experiment

    name = option.lstrip("-").replace("-", "_")
    takes_fields = any("-s" in parameter.opts for parameter in context.command.params)
    return name if takes_fields and name in {field.name for field in fields(Experiment)} else None
