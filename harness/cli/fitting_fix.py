"""What an error suggests, for the command that was typed: the same error arises in commands with other options."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

BETWEEN = re.compile(r"(; or |, or |; |, then )")  # alternatives, or steps
OPTION = re.compile(r"(--?[a-z][a-z-]*)(?=[\s=,;]|$)")
SETTING = re.compile(r"-s (\w+)=('[^']*'|[^\s,;]+(?:,[^\s,;]+)*)")
FIELD = re.compile(r"-s (\w+)\b(?!=)")


def fitting_fix(fix: str, typed: Sequence[str]) -> str:
    """A fix without options that the command does not have.

    A command without `-s` has the field's name, and `--data` where it takes that. An alternative that begins with
    another option is left out; if none is left, the command's help is named.

    Args:
        fix: What to do, with alternatives.
        typed: The command line.
    """
    command, path = _command(typed)
    if command is None:
        return fix
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if "-s" not in known:
        fix = SETTING.sub(lambda match: _without_set(match, known), fix)
        fix = FIELD.sub(r"\1", fix)
    first, *rest = BETWEEN.split(fix)
    parts = [("", first), *zip(rest[::2], rest[1::2], strict=True)]
    fitting = [(between, part) for between, part in parts if _is_known(part, known)]
    text = "".join(between * bool(i) + part for i, (between, part) in enumerate(fitting))
    return text or f"{path} --help"


def _command(typed: Sequence[str]) -> tuple[click.Command | None, str]:
    """(the command that was typed, its name with `harness`); None for none."""
    from harness.cli.main import harness

    command: click.Command | None = harness
    names = ["harness"]
    words = iter(typed)
    while isinstance(command, click.Group):
        word = next((word for word in words if not word.startswith("-")), None)
        command = None if word is None else command.get_command(click.Context(command), word)
        names += [] if word is None else [word]
    return command, " ".join(names)


def _without_set(match: re.Match[str], known: set[str]) -> str:
    name, value = match.groups()
    return f"--data {value}" if name == "data" and "--data" in known else f"{name}={value} in the experiment file"


def _is_known(part: str, known: set[str]) -> bool:
    option = OPTION.match(part)
    return option is None or option[1] in known
