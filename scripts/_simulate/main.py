"""Simulates the bias and coverage of the headline accuracy, by the old rule and the present one."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from markdown_table import command_line, print_table
from repeat import Estimate, simulate
from rows import ROWS, Row
from tqdm import tqdm

TABLES = ("search", "shares", "pruning", "epochs", "comparison", "alike", "shortcuts")  # modules beside this one
COLUMNS = (
    *("row", "n, folds, epochs", "rule", "mean true accuracy", "bias, points"),
    *("the 95 % interval covers", "mean width", "repeats"),
)


def main() -> None:
    """Prints each row when it is complete."""
    if sys.argv[1:2] and sys.argv[1] in TABLES:
        importlib.import_module(sys.argv[1]).main(sys.argv[2:])
        return
    parser = command_line("", __doc__, ROWS, 2000)
    parser.epilog = f"other tables: {', '.join(TABLES)}, each with rows"
    parser.add_argument("--processes", type=int, default=1)

    def lines(name: str, row: Row, options: Any) -> list[str]:
        results = run(row, options.repeats, options.processes, name)
        return [line(row, rule, [result[rule] for result in results]) for rule in ("old", "now")]

    print_table(parser, sys.argv[1:], ROWS, COLUMNS, lines)


def run(row: Row, repeats: int, processes: int, title: str) -> list[dict[str, Estimate]]:
    """Runs all repeats of a row; the number of a repeat is its seed."""
    progress = functools.partial(tqdm, total=repeats, desc=title, disable=None)
    one = functools.partial(simulate, row)
    if processes == 1:
        _one_thread()
        return [*progress(map(one, range(repeats)))]
    with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
        return [*progress(pool.imap(one, range(repeats), chunksize=8))]


def summary(estimates: Sequence[Estimate]) -> dict[str, float]:
    """Bias, in points, and coverage, in percent, with their Monte-Carlo standard errors."""
    errors = 100 * np.array([each.value - each.truth for each in estimates])
    covers = np.array([each.low <= each.truth <= each.high for each in estimates])
    count = len(estimates)
    return {
        "truth": 100 * float(np.mean([each.truth for each in estimates])),
        "bias": float(errors.mean()),
        "bias_error": float(errors.std(ddof=1)) / count**0.5,
        "coverage": 100 * float(covers.mean()),
        "coverage_error": 100 * float(covers.std()) / count**0.5,
        "width": 100 * float(np.mean([each.high - each.low for each in estimates])),
    }


def line(row: Row, rule: str, estimates: Sequence[Estimate]) -> str:
    """A line of the table."""
    found = summary(estimates)
    cells = [
        row.about,
        f"{row.n}, {row.folds}, {row.epochs}",
        rule,
        f"{found['truth']:.2f} %",
        f"{found['bias']:+.2f} ± {found['bias_error']:.2f}",
        f"{found['coverage']:.1f} ± {found['coverage_error']:.1f} %",
        f"{found['width']:.1f}",
        str(len(estimates)),
    ]
    return f"| {' | '.join(cells)} |"


def _one_thread() -> None:
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
