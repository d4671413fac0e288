"""Refuses the idioms of idioms.txt: `check.py [FILE...]`, by default in all text files that git does not ignore.

Prints one line for each idiom, with its place and better words. The exit code is 1 if there is one, or if a file cannot
be read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

IDIOMS = Path(__file__).with_name("idioms.txt")
KINDS = {".cfg", ".html", ".ipynb", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}


def project_files() -> list[Path]:
    """Text files that git tracks or does not ignore; scripts without a suffix are text, too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode(errors="replace").strip())
    names = map(os.fsdecode, dict.fromkeys(done.stdout.split(b"\0")))  # git names a file with conflicts three times
    paths = [Path(name) for name in names if name and Path(name).is_file()]
    return [path for path in paths if path.suffix in KINDS or (path.suffix == "" and path.parts[0] == "scripts")]


def read_idioms() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """Each idiom, better words, and the pattern that finds it."""
    for line in IDIOMS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            idiom, better = line.split(" -> ", 1)
            spaced = r"[\s#]+".join(map(re.escape, idiom.split()))
            yield idiom, better, re.compile(rf"(?<![\w-]){spaced}(?![\w-])", re.IGNORECASE)


def find_idioms(paths: Iterable[Path]) -> Iterator[str]:
    """One message for each idiom in a file, also where a line break splits it, and for each file without permission."""
    idioms = [*read_idioms()]
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            yield f"{path}: cannot be read: {error.strerror}"
            continue
        for idiom, better, pattern in idioms:
            for match in pattern.finditer(text):
                yield f'{path}:{text.count(chr(10), 0, match.start()) + 1}: not "{idiom}", but {better}'


def main(arguments: list[str]) -> int:
    messages = list(find_idioms(map(Path, arguments) if arguments else project_files()))
    if messages:
        print(*messages, "All idioms are in scripts/_english/idioms.txt.", sep="\n", file=sys.stderr)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
