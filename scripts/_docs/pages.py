"""Finds the fenced blocks of a page and the HTML comments above them.

A comment on the line above a fence says how the block is checked:

    <!-- not run: REASON -->   commands are only parsed
    <!-- varies: REASON -->    commands are run; what they print is not compared, but --update rewrites it
    <!-- exit code 3 -->       the last command ends with that code, and not with 0
    <!-- stopped after 20 s --> the last command is a server, which Ctrl-C ends
    <!-- file: PATH -->        the block is written to that file of the project
    <!-- output -->            the block is what the Python block before it prints
    <!-- drawing -->           the block is a drawing, such as a tree of folders

`<!-- hidden: COMMAND -->` anywhere runs a command that the page does not show. `<!-- project: NAME -->` chooses the
project that a page starts in: see projects.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^(?P<margin> *)<!-- (?P<comment>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
HIDDEN = re.compile(r"^ *<!-- hidden: (.*?) -->$", re.MULTILINE)
PROJECT = re.compile(r"^<!-- project: (\w+) -->$", re.MULTILINE)
PLACEHOLDER = re.compile(r"(?<![\w/.$])\[?(?:[A-Z][A-Z_]+\d?|…)\]?(?:\.\.\.)?$")


@dataclass(frozen=True)
class Block:
    """One fenced block; `span` is where its text lies in the page."""

    language: str
    text: str
    comment: str
    indent: str
    span: tuple[int, int]
    line: int

    @property
    def is_run(self) -> bool:
        """Whether its commands or its code are run."""
        return self.language in ("console", "python") and not self.comment.startswith("not run")

    def argument(self, name: str) -> str:
        """The text after `name: ` or `name ` in the comment above the block, or ""."""
        return self.comment[len(name) :].strip(": ") if self.comment.startswith(name) else ""


def find_pages() -> list[Path]:
    """README.md and the pages of the site that are written by hand."""
    pages = (path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "reference"} & set(path.parts))
    return [ROOT / "README.md", *sorted(pages)]


def find_blocks(page: str) -> list[Block]:
    """The fenced blocks of a page's text, in order."""
    blocks = []
    for fence in FENCE.finditer(page):
        indent = fence["indent"]
        text = re.sub(rf"^{indent}", "", fence["text"], flags=re.MULTILINE)
        line = page.count("\n", 0, fence.start("text")) + 1
        blocks.append(Block(fence["language"], text, fence["comment"] or "", indent, fence.span("text"), line))
    return blocks


def project_of(page: str) -> str:
    """The project that the page's commands run in, or "run"."""
    named = PROJECT.search(page)
    return named[1] if named else "run"


def split_session(text: str) -> list[tuple[str, list[str]]]:
    """(command, lines of its output) of each `$` line of a console block; a backslash continues a command."""
    session: list[tuple[str, list[str]]] = []
    continues = False
    for line in text.splitlines():
        if continues:
            session[-1] = (f"{session[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            session.append((line[2:], []))
        elif session:
            session[-1][1].append(line)
        continues = (line.startswith("$ ") or continues) and line.endswith("\\")
    return session


def harness_calls(block: Block) -> Iterator[list[str]]:
    """The arguments of each `harness ...` line of a block that holds commands.

    A description may follow a command after two spaces or `#`. Arguments in capitals stand for something.
    """
    if block.language == "console":
        lines = [command for command, _ in split_session(block.text)]
    elif block.language in ("text", "bash") and block.comment not in ("output", "drawing"):
        lines = block.text.splitlines()
    else:
        return
    for line in lines:
        for part in re.split(r" \| | && |; ", re.sub(r"\\\n", " ", line).strip()):
            command = re.match(r"(?:nohup |\w+=\S+ )*harness (.*)", part)
            if command:
                text = re.split(r"  +|\t| #|[^\w]>|>>| 2>| &$", command[1])[0]
                yield shlex.split(text)
