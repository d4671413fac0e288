"""Runs all contenders on all tasks, side by side. Prints a table, and writes the figures to a JSON file.

Each measurement is a separate process. Each round runs all contenders, so a change in the machine's speed affects all
of them. The table shows medians over the rounds. Plain and Lightning run one epoch of one fold of task (b), and their
time is multiplied by fifteen; with --full they run all of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from task import FINE_TUNE, FOLDS, FROZEN, SIZE, Task, task

from harness.data.listing import list_images

HERE = Path(__file__).parent
WORKS = {
    "a": ("floor", "plain", "lightning", "harness"),
    "b": ("floor", "plain", "lightning", "harness"),
    "c": ("harness",),
}
TITLES = {
    "a": "(a) fine-tune one fold, 2 epochs",
    "b": "(b) frozen, 3 folds of 5 epochs",
    "c": "(c) the same again, cache warm",
}
GROWTH = (1, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", default=[], help="tasks a b c d e f; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--full", action="store_true", help="run every task completely: about 20 more minutes per round"
    )
    parser.add_argument("--json", type=Path, default=Path("runs/benchmark.json"), help="file for the figures")
    asked = parser.parse_args()
    works = asked.works or list("abcdef")
    home = Path(tempfile.mkdtemp(prefix="harness-benchmark-"))
    environment = os.environ | {
        "HARNESS_CACHE": str(home / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "HARNESS_BENCHMARK_FULL": "1" if asked.full else "",
        "CUDA_VISIBLE_DEVICES": "",
    }
    try:
        figures = measure(works, asked.rounds, environment)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(table(figures)))


def measure(works: list[str], rounds: int, environment: dict[str, str]) -> dict[str, Any]:
    """Measures all rounds, and returns their figures."""
    figures: dict[str, Any] = {"rounds": rounds, "cores": os.cpu_count()}
    given = task()
    if set(works) & set("abcf"):  # only the first run makes MLflow's tables
        harness(given, "c", environment)
    for number in range(rounds):
        for work in (work for work in works if work in WORKS):
            for name in WORKS[work]:
                if name == "lightning" and importlib.util.find_spec("lightning") is None:
                    continue
                tell(f"round {number + 1}/{rounds}: {TITLES[work]}: {name}")
                if name == "harness":
                    one = harness(given, work, environment)
                else:
                    one = run("contenders.py", [name, work], environment)
                for key in ("work", "whole"):
                    figures.setdefault(work, {}).setdefault(name, defaultdict(list))[key].append(one[key])
        if "e" in works:
            for name in ("inference", "extraction"):
                tell(f"round {number + 1}/{rounds}: (e) {name}")
                figures.setdefault("e", defaultdict(list))[name].append(
                    run("contenders.py", [name], environment)["rate"]
                )
    if "d" in works:
        tell("(d) engine")
        figures["d"] = run("engine.py", [], environment)
    if "f" in works:
        for times in GROWTH:
            tell(f"(f) {times} times the images")
            with more_images(given, times) as more:
                one = harness(more, "b", environment) | {"images": len(more.images)}
            figures.setdefault("f", {})[str(times)] = one
    return figures


def run(script: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """The figures that one process prints, and its `whole` seconds. `work` is scaled up if only a part was run."""
    started = time.perf_counter()
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    share = result.get("share", 1.0)
    whole = time.perf_counter() - started
    if "work" in result:
        result["whole"] = whole + result["work"] * (1 / share - 1)
        result["work"] /= share
    return result


def harness(given: Task, work: str, environment: dict[str, str]) -> dict[str, Any]:
    """`harness run` as typed, with both trackers: seconds of training, seconds of the process, and its memory.

    Only task (c) starts with a filled cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        experiment = Path(folder) / "bench.py"
        experiment.write_text("from harness import Experiment\n\nexperiment = Experiment()\n")
        values = FINE_TUNE if work == "a" else FROZEN
        settings = {
            "data": given.images.root,
            "weights": given.weights or "none",
            "freeze": work != "a",
            "batch_size": values["batch"],
            "epochs": values["epochs"],
            "lr": values["lr"],
            "folds": FOLDS,
            "image_size": SIZE,
        }
        typed = [part for name, value in settings.items() for part in ("-s", f"{name}={value}")]
        command = [
            sys.executable,
            "-m",
            "harness",
            "run",
            str(experiment),
            *typed,
            "--json",
            "--runs",
            f"{folder}/runs",
        ]
        command += ["--fold", "1"] if work == "a" else []
        own = environment if work == "c" else environment | {"HARNESS_CACHE": f"{folder}/cache"}
        started = time.perf_counter()
        with (Path(folder) / "out").open("w+") as out, (Path(folder) / "err").open("w+") as err:
            process = subprocess.Popen(command, env=own, stdout=out, stderr=err)
            _, status, used = os.wait4(process.pid, 0)
            whole = time.perf_counter() - started
            out.seek(0), err.seek(0)
            if status:
                sys.exit(f"{' '.join(command)} failed:\n{err.read()}")
            output = json.loads(out.read())
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"work": output["fit_seconds"], "whole": whole, "peak_mb": peak, "accuracy": output["accuracy"]}


@contextmanager
def more_images(given: Task, times: int) -> Iterator[Task]:
    """A data set with `times` times the images; each is a different file."""
    with tempfile.TemporaryDirectory() as folder:
        for path, name in zip(given.paths, given.images.paths, strict=True):
            copy, content = Path(folder) / name, path.read_bytes()
            copy.parent.mkdir(parents=True, exist_ok=True)
            for number in range(times):  # bytes after the end of a JPEG are ignored, but change the file's hash
                copy.with_suffix(f".{number}.jpg").write_bytes(content + str(number).encode())
        yield dataclasses.replace(given, images=list_images(folder))


def table(figures: dict[str, Any]) -> list[str]:
    """The table in Markdown. Each ratio is the median over the rounds."""
    lines = ["| work | contender | training s | whole process s | to harness |", "|---|---|---|---|---|"]
    for work, contenders in ((work, figures[work]) for work in WORKS if work in figures):
        ours = contenders["harness"]["work"]
        for name, rounds in contenders.items():
            ratio = statistics.median(theirs / own for theirs, own in zip(rounds["work"], ours, strict=True))
            row = [TITLES[work], name, f"{middle(rounds['work']):.1f}", f"{middle(rounds['whole']):.1f}"]
            lines.append("| " + " | ".join([*row, "" if name == "harness" else f"{ratio:.2f} ×"]) + " |")
    if "d" in figures:
        loop, every = figures["d"]["loop"], figures["d"]["all callbacks"]
        lines += ["", f"(d) the engine adds {loop:.0f} µs to a step, with all callbacks {every:.0f} µs"]
    if "e" in figures:
        bare, ours = (middle(figures["e"][name]) for name in ("inference", "extraction"))
        ratio = statistics.median(
            o / b for o, b in zip(figures["e"]["extraction"], figures["e"]["inference"], strict=True)
        )
        lines += ["", f"(e) extraction {ours:.0f} images per second, bare inference {bare:.0f}: {ratio:.2f} ×"]
    if "f" in figures:
        parts = [
            f"{one['images']:,} images {one['work']:.1f} s ({1000 * one['work'] / one['images']:.1f} ms each), "
            f"{one['peak_mb']:,.0f} MB"
            for one in figures["f"].values()
        ]
        lines += ["", f"(f) growth of (b): {'; '.join(parts)}"]
    return lines


def middle(values: list[float]) -> float:
    return statistics.median(values)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
