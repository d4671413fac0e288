"""Runs what a page shows, from its first block to its last, in one project."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from masks import same_output, shorten
from pages import HIDDEN, Block, find_blocks, project_of, split_session
from projects import make_project
from shell import Shell


@dataclass(frozen=True)
class Outcome:
    """One block after it was run: the text that the page should have, and what is wrong with the present one."""

    block: Block
    text: str
    problems: tuple[str, ...]


def tell(page: str, scratch: Path) -> list[Outcome]:
    """Runs the blocks of a page in order. Nothing of it stays but what `scratch` keeps for other pages."""
    if not any(block.is_run for block in find_blocks(page)):
        return []
    folder = Path(tempfile.mkdtemp(prefix="page-", dir=scratch)) / "project"
    try:
        make_project(project_of(page), folder, scratch)
        with Shell(folder, scratch) as shell:
            return list(run_blocks(page, shell))
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def run_blocks(page: str, shell: Shell) -> Iterator[Outcome]:
    place = 0
    printed: list[str] = []
    for block in find_blocks(page):
        for hidden in HIDDEN.finditer(page, place, block.span[0]):
            output, code = shell.run(hidden[1])
            if code:
                yield Outcome(block, block.text, (f"hidden: {hidden[1]} ended with exit code {code}", *output[-5:]))
        place = block.span[1]
        if path := block.argument("file"):
            (shell.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (shell.folder / path).write_text(block.text, encoding="utf-8")
        elif block.is_run and block.language == "console":
            yield run_session(block, shell)
        elif block.is_run:
            printed, error = shell.execute(block.text)
            yield Outcome(block, block.text, (error,) if error else ())
        elif block.comment == "output":
            written = block.text.splitlines()
            problems = (
                () if same_output(written, printed) else ("\n".join(["Python prints something else:", *printed]),)
            )
            yield Outcome(block, "".join(f"{line}\n" for line in shorten(written, printed)), problems)


def run_session(block: Block, shell: Shell) -> Outcome:
    session = split_session(block.text)
    lines, problems = [], []
    for number, (command, written) in enumerate(session):
        is_last = number == len(session) - 1
        seconds = re.fullmatch(r"stopped after (\d+) s", block.comment) if is_last else None
        printed, code = shell.run(command, float(seconds[1]) if seconds else None)
        expected = int(block.argument("exit code") or 0) if is_last else 0
        if code != expected and not seconds:
            problems.append(f"$ {command}\nended with exit code {code}, not {expected}:\n" + "\n".join(printed[-8:]))
        elif not block.argument("varies") and not same_output(written, printed):
            problems.append(f"$ {command}\nprints something else:\n" + "\n".join(printed))
        lines += [f"$ {command}", *shorten(written, printed)]
    return Outcome(block, "".join(f"{line}\n" for line in lines), tuple(problems))


def rewrite(page: str, outcomes: list[Outcome]) -> str:
    """The page with the present text of its blocks."""
    for outcome in reversed(outcomes):
        start, end = outcome.block.span
        indented = "".join(f"{outcome.block.indent}{line}".rstrip() + "\n" for line in outcome.text.splitlines())
        page = page[:start] + indented + page[end:]
    return page
