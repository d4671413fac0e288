"""Finds the files of a tracked folder that DVC tracks: all but those of version control and of `.dvcignore`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError

VERSION_CONTROL = (".hg/", ".git/", ".git", ".dvc/")  # DVC ignores these everywhere


@dataclass(frozen=True)
class Rule:
    """One line of a `.dvcignore`, or a built-in rule of DVC."""

    base: str  # the folder that the pattern is relative to, with a "/" at its end
    ignores: bool  # False for a line that begins with "!"
    only_folders: bool
    pattern: re.Pattern[str]


def project_of(path: Path) -> Path:
    """The DVC project that contains `path`; if there is none, the folder of `path`."""
    above = path.absolute().parents
    return next((folder for folder in above if (folder / ".dvc").is_dir()), above[0])


def kept_by_dvc(folder: Path) -> list[str]:
    """The files below `folder` that DVC tracks: sorted, relative to `folder`, with "/" on every system.

    Links are followed, except into a folder above. Raises DataError if a `.dvcignore` cannot be read.
    """
    rules, start = _rules(folder), len(folder.absolute().as_posix()) + 1
    paths: list[str] = []
    above = {str(folder): {os.path.realpath(folder)}}  # folder -> the resolved paths of it and of those above it
    for here, folders, files in os.walk(str(folder), followlinks=True):
        whole = Path(here).absolute().as_posix()
        allowed = [name for name in folders if not _is_ignored(f"{whole}/{name}", rules, is_folder=True)]
        entered = {name: os.path.realpath(Path(here, name)) for name in allowed}
        folders[:] = [name for name, real in entered.items() if real not in above[here]]
        above |= {str(Path(here, name)): above[here] | {entered[name]} for name in folders}
        paths += [path[start:] for path in (f"{whole}/{name}" for name in files) if not _is_ignored(path, rules)]
    return sorted(paths)


def _is_ignored(path: str, rules: list[Rule], is_folder: bool = False) -> bool:
    """Applies the last rule that matches. As in DVC, a folder is matched with and without a "/" at its end."""
    for rule in reversed(rules):
        if (rule.only_folders and not is_folder) or not path.startswith(rule.base):
            continue
        name = path[len(rule.base) :]
        if rule.pattern.match(name) or (is_folder and rule.pattern.match(f"{name}/")):
            return rule.ignores
    return False


def _rules(folder: Path) -> list[Rule]:
    """The built-in rules, then those of each `.dvcignore` from the project's folder down to the parent of `folder`.

    DVC allows no `.dvcignore` inside a tracked folder.
    """
    project = project_of(folder)
    rules = [_rule(line, project) for line in VERSION_CONTROL]
    for above in reversed(folder.absolute().parents):
        file = above / ".dvcignore"
        if not above.is_relative_to(project) or not file.is_file():
            continue
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").split("\n")]
            rules += [_rule(line, above) for line in lines if line and not line.startswith("#")]
        except (OSError, ValueError, re.error) as error:
            raise DataError(f"{file} cannot be read", str(error), f"correct {file}, or remove it") from error
    return [rule for rule in rules if rule is not None]


def _rule(line: str, base: Path) -> Rule | None:
    """Parses a line; None for a blank line or a comment. Raises ValueError if git does not accept the pattern."""
    from pathspec import GitIgnoreSpec

    pattern = GitIgnoreSpec.from_lines([line]).patterns[0]
    if pattern.include is None or pattern.regex is None:
        return None
    return Rule(f"{base.absolute().as_posix()}/", pattern.include, line.endswith("/"), pattern.regex)
