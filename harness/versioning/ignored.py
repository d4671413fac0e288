"""Which files of a tracked folder count for DVC: not those of version control, nor what `.dvcignore` names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError

VERSION_CONTROL = (".hg/", ".git/", ".git", ".dvc/")  # which DVC passes over wherever they lie


@dataclass(frozen=True)
class Rule:
    """One line of a `.dvcignore`, or of DVC's own."""

    base: str  # the folder that the line counts from, with a "/" at its end
    ignores: bool  # False of a line that begins with "!"
    only_folders: bool
    pattern: re.Pattern[str]


def project_of(path: Path) -> Path:
    """The DVC project that `path` lies in; without one, its own folder."""
    above = path.absolute().parents
    return next((folder for folder in above if (folder / ".dvc").is_dir()), above[0])


def kept_by_dvc(folder: Path) -> list[str]:
    """Every file under `folder` that counts, relative to it, "/" on every system, sorted.

    Links are followed, none into itself. Raises DataError where a `.dvcignore` cannot be read.
    """
    rules, start = _rules(folder), len(folder.absolute().as_posix()) + 1
    paths: list[str] = []
    above = {str(folder): {os.path.realpath(folder)}}  # of each folder: where it and those above it lie in truth
    for here, folders, files in os.walk(str(folder), followlinks=True):
        whole = Path(here).absolute().as_posix()
        allowed = [name for name in folders if not _is_ignored(f"{whole}/{name}", rules, is_folder=True)]
        entered = {name: os.path.realpath(Path(here, name)) for name in allowed}
        folders[:] = [name for name, real in entered.items() if real not in above[here]]
        above |= {str(Path(here, name)): above[here] | {entered[name]} for name in folders}
        paths += [path[start:] for path in (f"{whole}/{name}" for name in files) if not _is_ignored(path, rules)]
    return sorted(paths)


def _is_ignored(path: str, rules: list[Rule], is_folder: bool = False) -> bool:
    """What the last line says that fits; a folder is looked at with and without a "/" at its end, as by DVC."""
    for rule in reversed(rules):
        if (rule.only_folders and not is_folder) or not path.startswith(rule.base):
            continue
        name = path[len(rule.base) :]
        if rule.pattern.match(name) or (is_folder and rule.pattern.match(f"{name}/")):
            return rule.ignores
    return False


def _rules(folder: Path) -> list[Rule]:
    """DVC's own, then those of the `.dvcignore` files from the project's down to the one beside `folder`.

    Inside of a tracked folder DVC permits none.
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
            raise DataError(f"{file} cannot be read", str(error), f"mend {file}, or remove it") from error
    return [rule for rule in rules if rule is not None]


def _rule(line: str, base: Path) -> Rule | None:
    """Raises ValueError for what is no pattern of git's."""
    from pathspec import GitIgnoreSpec

    pattern = GitIgnoreSpec.from_lines([line]).patterns[0]
    if pattern.include is None or pattern.regex is None:
        return None
    return Rule(f"{base.absolute().as_posix()}/", pattern.include, line.endswith("/"), pattern.regex)
