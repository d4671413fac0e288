"""Runs several experiments at the same time on one machine, and compares their total speed with one run alone.

Each run trains the quickstart's network on all cores. "Spinning": OpenMP's threads wait in a busy loop, their default.
"Waiting": they give the core to other programs, as `harness` sets it. The total speed of n runs is n times the epochs
per second of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from task import ROOT, task

CROWDS = (1, 2, 4)
WAYS = {"spinning": {"GOMP_SPINCOUNT": "300000"}, "waiting": {}}
SETTINGS = ["trackers=", "epochs=6", "folds=3", "seed=0"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="harness-crowd-"))
    try:
        shutil.copytree(ROOT / "experiments", home / "experiments")
        epochs(home, 1, {}, task().images.root)  # fills the cache
        seconds: dict[str, list[float]] = {f"{way}, {count}": [] for way in WAYS for count in CROWDS}
        for number in range(rounds):
            for way, environment in WAYS.items():
                for count in CROWDS:
                    print(f"round {number + 1}/{rounds}: {way}, {count} at once", file=sys.stderr)
                    seconds[f"{way}, {count}"].append(epochs(home, count, environment, task().images.root))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    alone = medians["spinning, 1"]
    print(json.dumps({"rounds": rounds, "cores": os.cpu_count(), "seconds per epoch": seconds}, indent=2))
    print(f"\n{'':<12}{'runs':>5}{'seconds per epoch':>18}{'total speed vs. one alone':>27}")
    for way in WAYS:
        for count in CROWDS:
            median = medians[f"{way}, {count}"]
            print(f"{way:<12}{count:>5}{median:>18.2f}{count * alone / median:>26.2f}x")


def epochs(home: Path, count: int, environment: dict[str, str], images: Path) -> float:
    """Median seconds per epoch when `count` runs train at the same time, without the first epoch of each."""
    settings = [part for text in [*SETTINGS, f"data={images}"] for part in ("-s", text)]
    command = [sys.executable, "-m", "harness", "run", "quickstart", "--fold", "1", *settings]
    known = os.environ | {"HARNESS_CACHE": str(home / "cache"), **environment}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        places = [Path(folder, str(number)) for number in range(count)]
        runs = [
            subprocess.Popen([*command, "--out", str(place)], cwd=home, env=known, stdout=-3, stderr=-3)
            for place in places
        ]
        for run in runs:
            if run.wait() != 0:
                raise SystemExit(f"{' '.join(command)} ended with {run.returncode}")
        rows = [json.loads(line) for place in places for line in (place / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(row["train_seconds"] + row["valid_seconds"] for row in rows if row["epoch"] > 1)


if __name__ == "__main__":
    main()
