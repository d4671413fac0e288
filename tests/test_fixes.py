"""What an error tells people to type can be typed: each command exists, with its options and arguments."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import harness
from harness.cli.fitting_fix import fitting_fix
from harness.cli.main import harness as group

PACKAGE = Path(harness.__file__).parent
END = re.compile(r"[,;:]\s|\s\(|\s{2,}|$")  # where a command ends, and prose begins
PLACEHOLDER = re.compile(r"[A-Z]|[./]")  # in an argument: a placeholder is in capitals
NAMES = ("champion", "data", "gdrive", "models", "quickstart")  # that exist
VALUE = "VALUE"  # in the place of each f-string's placeholder


def texts_of(node: ast.expr) -> list[str]:
    """The texts that an expression may be."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)]
    if isinstance(node, ast.IfExp):
        return [*texts_of(node.body), *texts_of(node.orelse)]
    if isinstance(node, ast.BinOp):
        return [left + right for left in texts_of(node.left) for right in texts_of(node.right)]
    return []


def fixes() -> Iterator[tuple[str, str]]:
    """(where, text) of the last argument of each error and of each finding of `harness doctor`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) < 3:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name.endswith("Error") or name in ("refused", "Finding"):
                for text in texts_of(node.args[2 if name != "Finding" else -1]):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def commands_in(text: str) -> list[str]:
    """The commands of harness in a text: each begins it, or an alternative in it."""
    parts = re.split(r"; or |, or |; |, then | and (?=harness )", text)
    return [part[: match.start()] for part in parts if part.startswith("harness ") and (match := END.search(part))]


def why_wrong(typed: str) -> str:
    """Why a command line cannot be typed; empty if it can."""
    words = [word for word in shlex.split(typed)[1:] if word != "--debug"]  # which may be anywhere
    command: click.Command = group
    context = click.Context(group, info_name="harness")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    if isinstance(command, click.Group):
        return "" if words in ([], ["--help"]) else "no command of a group"
    try:
        options, rest, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    missing = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Argument)
        and parameter.required
        and not (isinstance(value := options.get(parameter.name or ""), (str, tuple)) and value)
    ]
    prose = [word for word in arguments_of(command, options) if not PLACEHOLDER.search(word) and word not in NAMES]
    return f"too many words: {rest}" if rest else f"missing: {missing}" if missing else f"{prose}" if prose else ""


def arguments_of(command: click.Command, options: dict[str, object]) -> list[str]:
    values = [options.get(each.name or "") for each in command.params if isinstance(each, click.Argument)]
    return [word for value in values for word in (value if isinstance(value, tuple) else [value]) if type(word) is str]


def test_commands_in_finds_each_alternative() -> None:
    assert commands_in("harness list, for another; or harness run X; or wait") == ["harness list", "harness run X"]


@pytest.mark.parametrize(
    ("typed", "is_right"),
    [
        ("harness list", True),
        ("harness list shows", False),
        ("harness run", False),
        ("harness run again", False),
        ("harness run X -s lr=1", True),
        ("harness run X --fold", False),
        ("harness test X -s lr=1", False),
        ("harness data track", False),
        ("harness data nothing", False),
        ("harness nothing", False),
        ("harness --help", True),
    ],
)
def test_why_wrong_knows_commands_options_and_arguments(typed: str, is_right: bool) -> None:
    assert (why_wrong(typed) == "") == is_right


def test_each_command_that_an_error_suggests_can_be_typed() -> None:
    found = [(where, typed) for where, text in fixes() for typed in commands_in(text)]
    assert len(found) > 60
    wrong = [f"{where}: {typed!r}: {why}" for where, typed in found if (why := why_wrong(typed))]
    assert not wrong, "\n".join(wrong)


def options_in(text: str) -> list[str]:
    parts = re.split(r"; or |, or |; |, then ", text)
    return [re.split(r"[\s=,]", part)[0] for part in parts if re.match(r"--?[a-z]", part)]


def test_each_option_that_an_error_suggests_is_one_of_some_command() -> None:
    known = {name for command in all_commands(group) for parameter in command.params for name in parameter.opts}
    wrong = [f"{where}: {text}" for where, text in fixes() for option in options_in(text) if option not in known]
    assert not wrong, "\n".join(wrong)


def all_commands(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from all_commands(child)
    else:
        yield command


@pytest.mark.parametrize(
    ("fix", "command", "fitting"),
    [
        ("-s data=photos, if 'a' is one of the classes", "test", "--data photos, if 'a' is one of the classes"),
        ("-s data=photos, if 'a' is one of the classes", "run", "-s data=photos, if 'a' is one of the classes"),
        ("-s groups=none, or X", "test", "groups=none in the experiment file, or X"),
        ("remove them; or --allow-leak, which is recorded", "test", "remove them; or --allow-leak, which is recorded"),
        ("remove them; or --allow-leak, which is recorded", "list", "remove them"),
        ("--allow-missing", "list", "harness list --help"),
        ("-s workers=0, or a lower -s lr", "resume", "workers=0 in the experiment file, or a lower lr"),
        ("harness list, for another one", "test", "harness list, for another one"),
        ("git add and git commit, or git stash -u", "test", "git add and git commit, or git stash -u"),
    ],
)
def test_fitting_fix_suggests_options_of_the_command_only(fix: str, command: str, fitting: str) -> None:
    assert fitting_fix(fix, [command]) == fitting


def test_each_page_that_a_message_names_is_there() -> None:
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= {*re.findall(r"docs/([\w-]+)\.md", text), *re.findall(r"\bsee\([\"']([\w-]+)[\"']\)", text)}
        named |= {*re.findall(r"\{DOCUMENTATION\}/([\w-]+)\.md", text)}
    assert {"data", "data-versioning", "index", "scale-out", "start", "test"} <= named
    assert {name for name in named if not (PACKAGE.parent / f"docs/{name}.md").is_file()} == set()


def test_help_names_the_documentation() -> None:
    assert "docs/start.md" in group.get_help(click.Context(group, info_name="harness"))
