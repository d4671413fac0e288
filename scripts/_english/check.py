"""Refuses the idioms of idioms.txt in lines that are new: `check.py [BASE]`. Exit code 1 if there is one.

New lines are those of the working tree that BASE does not have. BASE is by default where this branch left the upstream
default branch. On that branch itself it is the parent commit. A line that was moved or indented is not new.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

IDIOMS = Path(__file__).with_name("idioms.txt")
# the prefixes and colours that new_lines reads, whatever git's configuration says
DIFF = ("diff", "--unified=0", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")
FILES = ("*.py", "*.md", "*.cfg", "*.sh", "scripts/*", ":!scripts/_english")


def git(*arguments: str) -> str:
    """What git prints, or "" if it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip("\n") if done.returncode == 0 else ""


def find_base() -> str:
    """The commit to compare with, or "" if there is none."""
    head = git("rev-parse", "HEAD")
    for upstream in ("origin/HEAD", "origin/main"):
        base = git("merge-base", "HEAD", upstream)
        if base and base != head:
            return base
    return git("rev-parse", "--verify", "HEAD~1")


def new_lines(base: str) -> Iterator[tuple[str, int, str]]:
    """File, 1-based line number and text of each new line."""
    diff = git(*DIFF, base, "--", *FILES)
    removed = {line[1:].strip() for line in diff.splitlines() if line.startswith("-")}
    file, number = "", 0
    for line in diff.splitlines():
        if line.startswith("+++ "):
            file = line[4:].removeprefix("b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)", line):
            number = int(hunk[1])
        elif line.startswith("+"):
            if line[1:].strip() not in removed:
                yield file, number, line[1:]
            number += 1


def find_idioms(base: str) -> Iterator[str]:
    """One message for each idiom in a new line."""
    listed = [line.split(" -> ", 1) for line in IDIOMS.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    patterns = {idiom: re.compile(rf"(?<![\w-]){re.escape(idiom)}(?![\w-])", re.IGNORECASE) for idiom, _ in listed}
    for file, number, text in new_lines(base):
        for idiom, better in listed:
            if patterns[idiom].search(text):
                yield f'{file}:{number}: not "{idiom}", but {better}'


def main(base: str) -> int:
    if not base:
        print("plain English: not checked, because git has no earlier commit here", file=sys.stderr)
        return 0
    idioms = list(find_idioms(base))
    if idioms:
        print(*idioms, "All idioms are in scripts/_english/idioms.txt.", sep="\n", file=sys.stderr)
    return 1 if idioms else 0


if __name__ == "__main__":
    sys.exit(main(git("rev-parse", "--verify", f"{sys.argv[1]}^0") if len(sys.argv) > 1 else find_base()))
