"""Runs one search with `harness search` and with Optuna and Lightning: same space, folds, sampler and seed.

    scripts/benchmark search [--trials N] [--size PX] [--only half] [--by NAME]

There are two searches: the backbone is frozen in all trials, or in every second trial. Both programs use Optuna's TPE
sampler with the same seed, so the first ten trials, which are random, are the same. Lightning runs with its defaults
and, as "lightning, tuned", with bf16 and channels last, as its manual recommends. It writes no checkpoints and no logs;
`harness` writes both, with trackers. `--only half` runs one search, `--by` one contender.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from task import FOLDS, task

HERE = Path(__file__).parent
EPOCHS, SEED = 5, 0
SPACES = {"all frozen": "True", "half frozen": "trial.number % 2 == 0"}
EXPERIMENT = """
from harness import Experiment

experiment = Experiment(
    data={data!r}, weights={weights!r}, freeze=True, image_size={size}, epochs={epochs}, folds={folds}, lr=1e-3
)


def search_space(trial):
    return {{
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "freeze": {freeze},
    }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--json", type=Path, default=Path("runs/benchmark-search.json"), help="file for the figures")
    parser.add_argument("--only", default="", help="run only searches whose name contains this")
    parser.add_argument("--by", action="append", choices=[*BY], help="a contender; can be repeated")
    asked = parser.parse_args()
    wanted = {name: freeze for name, freeze in SPACES.items() if asked.only in name}
    figures = {name: measure(freeze, asked.trials, asked.size, asked.by) for name, freeze in wanted.items()}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(table(figures)))


def measure(freeze: str, trials: int, size: int, by: list[str] | None) -> dict[str, Any]:
    """Runs the search with each contender, one after the other; always with `harness`."""
    return {name: search(freeze, trials, size) for name, search in BY.items() if by is None or name in [*by, "harness"]}


def lightning(freeze: str, trials: int, size: int, tuned: str) -> dict[str, Any]:
    return run([sys.executable, str(HERE / "search_lightning.py"), str(trials), str(size), freeze, tuned], {})


def harness(freeze: str, trials: int, size: int, *options: str) -> dict[str, Any]:
    """Runs `harness search` with an empty cache and a new MLflow store that has its tables."""
    given = task()
    home = Path(tempfile.mkdtemp(prefix="harness-benchmark-"))
    try:
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}", "HARNESS_CACHE": str(home / "cache")}
        make = "from harness.trackers.mlflow.store import require_usable, tracking_uri; require_usable(tracking_uri())"
        subprocess.run([sys.executable, "-c", make], env={**os.environ, **store}, check=True, capture_output=True)
        values = {"data": str(given.images.root), "weights": str(given.weights) if given.weights else None}
        values |= {"size": size, "epochs": EPOCHS, "folds": FOLDS, "freeze": freeze}
        (home / "bench.py").write_text(EXPERIMENT.format(**values))
        command = [sys.executable, "-m", "harness", "search", str(home / "bench.py"), "--trials", str(trials), "--json"]
        command += ["--runs", str(home / "runs"), "--storage", str(home / "optuna.journal"), *options]
        return run(command, store)
    finally:
        shutil.rmtree(home, ignore_errors=True)


BY: dict[str, Callable[[str, int, int], dict[str, Any]]] = {
    "lightning": lambda freeze, trials, size: lightning(freeze, trials, size, "as it comes"),
    "lightning, tuned": lambda freeze, trials, size: lightning(freeze, trials, size, "tuned"),
    "harness, no pruning": lambda freeze, trials, size: harness(freeze, trials, size, "--pruner", "none"),
    "harness": harness,
}


def run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Seconds of the whole process, and its result."""
    print(" ".join(command[1:4]), file=sys.stderr, flush=True)
    started = time.perf_counter()
    done = subprocess.run(
        command,
        env={**os.environ, **environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    output = json.loads(done.stdout.splitlines()[-1])
    return {
        "seconds": time.perf_counter() - started,
        "folds": sum(trial["folds"] for trial in output["trials"]),
        "trials": [{name: trial.get(name) for name in ("accuracy", "folds", "changes")} for trial in output["trials"]],
    }


def table(figures: dict[str, Any]) -> list[str]:
    """The table in Markdown."""
    lines = ["| search | by | seconds | fold trainings | best accuracy | to harness |", "|---|---|---|---|---|---|"]
    for name, contenders in figures.items():
        for by, one in contenders.items():
            best = max(trial["accuracy"] for trial in one["trials"])
            ratio = f"{one['seconds'] / contenders['harness']['seconds']:.1f} ×"
            cells = [name, by, f"{one['seconds']:.0f}", str(one["folds"]), f"{100 * best:.1f} %", ratio]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
