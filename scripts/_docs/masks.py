"""Compares an output with the one of a page: numbers, ids, durations and words of the machine do not count."""

from __future__ import annotations

import difflib
import re

ELISION = "..."
UNSTEADY = re.compile(  # lines that depend on how busy the machine is, and are left out
    r"^(sending |waiting for MLflow|the rest is sent to MLflow|MLflow gets |MLflow has "
    r"| +mlflow  |process \d+ |.*(seconds|MB) so far)"
)
MASKS = (
    (re.compile(r"^( *device +).*"), r"\1…"),
    (re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}"), "ID"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{4,40}\b"), "#"),  # digests, and short ids
    (re.compile(r"(?:\d[\d.,]* (?:ms|s|min|h)\b ?)+"), "# s "),
    (re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?"), "#"),
    (re.compile(r"-{3,}"), "-"),
    (re.compile(r"#(?: #)+"), "#"),
    (re.compile(r"[-+](?=#)"), ""),
    (re.compile(r"\s+"), " "),
)


def mask(line: str) -> str:
    """The line without what may differ between two machines."""
    for pattern, text in MASKS:
        line = pattern.sub(text, line)
    return line.strip()


def same_output(written: list[str], printed: list[str]) -> bool:
    """Whether `printed` is what a page shows; a line `...` of the page stands for any lines."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == ELISION else re.escape(mask(line)) + "\n" for line in written)
    text = "".join(f"{mask(line)}\n" for line in printed)
    return re.fullmatch(pattern, text) is not None


def difference(line: str, other: str) -> float:
    """0 for equal lines, 1 for lines without a common word."""
    return 0.0 if line == other else 1 - 0.9 * difflib.SequenceMatcher(None, line.split(), other.split()).ratio()


def shorten(written: list[str], printed: list[str]) -> list[str]:
    """`printed` with the lines left out that `written` leaves out with `...`: the alignment with the fewest changes."""
    if ELISION not in [line.strip() for line in written]:
        return printed
    old, new = [mask(line) for line in written], [mask(line) for line in printed]
    # best[j] is (cost, lines shown) of the present prefix of `old`, aligned with the first j lines of `new`
    best: list[tuple[float, tuple[str, ...]]] = [(float(j), tuple(printed[:j])) for j in range(len(new) + 1)]
    for i, line in enumerate(old):
        above, best = best, []
        for j in range(len(new) + 1):
            cost, lines = above[j]
            if line == ELISION:
                ways = [(cost, (*lines, written[i]))]
                if j:
                    ways.append(best[j - 1])  # leaves one more line out
            else:
                ways = [(cost + 1.5, lines)]
                if j:
                    cost, lines = above[j - 1]
                    ways.append((cost + difference(line, new[j - 1]), (*lines, printed[j - 1])))
                    cost, lines = best[j - 1]
                    ways.append((cost + 1, (*lines, printed[j - 1])))
            best.append(min(ways, key=lambda way: way[0]))
    return list(best[-1][1])
