"""Compares squash, crop and pad: out-of-fold accuracy on images of 16:9 and 3:4, half of each class in each shape.

The images are cut from those of the other benchmarks, or from the demo data. All three use the same folds, so each is
compared with squash by an exact paired test.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from task import ROOT, SHARED

from harness.config.experiment import Experiment
from harness.data.demo import draw_demo
from harness.evaluation.predictions import compare
from harness.workflows.crossval import CrossValidation, cross_validate

WAYS = ("squash", "crop", "pad")
SHAPES = (16 / 9, 3 / 4)  # width / height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("runs/benchmark-resize.json"), help="file for the figures")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="harness-resize-") as home:
        for name, fields in works(Path(home)).items():
            for seed in range(asked.seeds):
                results = {way: run(fields, way, seed, Path(home)) for way in WAYS}
                rows += [row(name, seed, way, results) for way in WAYS]
                print(*(line(each) for each in rows[-len(WAYS) :]), sep="\n", flush=True)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(rows, indent=2) + "\n")
    print("\n".join(table(rows)))


def works(home: Path) -> dict[str, dict[str, Any]]:
    """The experiments to train, by name."""
    small: dict[str, Any] = {"model": "small_cnn", "weights": None, "image_size": 96, "lr": 1e-2, "epochs": 8}
    small |= {"scheduler": "onecycle", "augment": "flip"}
    if not (SHARED / "data/scenes").is_dir():
        draw_demo(ROOT / "data")
        return {"demo, small_cnn": {**small, "data": str(cut_all(ROOT / "data/train", home / "demo"))}}
    two = cut_all(SHARED / "data/scenes/train", home / "scenes")
    six = cut_all(SHARED / "data/scenes6/train", home / "scenes6")
    frozen = {"weights": str(SHARED / "weights/resnet18-scenes.pth"), "freeze": True, "image_size": 96, "epochs": 8}
    return {
        "two classes, frozen resnet18": {**frozen, "data": str(two)},
        "two classes, small_cnn": {**small, "data": str(two)},
        "six classes, small_cnn": {**small, "data": str(six)},
    }


def cut_all(source: Path, folder: Path) -> Path:
    """Crops the centre of each image, alternating between the two shapes."""
    for name in sorted(source.iterdir()):
        (folder / name.name).mkdir(parents=True)
        for number, path in enumerate(sorted(name.iterdir())):
            with Image.open(path) as picture:
                shape, side = SHAPES[number % 2], min(picture.size)
                width, height = (side, round(side / shape)) if shape > 1 else (round(side * shape), side)
                left, top = (picture.width - width) // 2, (picture.height - height) // 2
                picture.crop((left, top, left + width, top + height)).save(folder / name.name / f"{path.stem}.png")
    return folder


def run(fields: dict[str, Any], way: str, seed: int, home: Path) -> CrossValidation:
    experiment = Experiment(name="resize", resize=way, seed=seed, folds=3, batch_size=16, trackers=(), **fields)
    return cross_validate(experiment, runs=home / "runs")


def row(work: str, seed: int, way: str, results: dict[str, CrossValidation]) -> dict[str, Any]:
    accuracy = results[way].accuracy
    p = compare(results[way].predictions, results["squash"].predictions).p
    return {"work": work, "seed": seed, "way": way, "right": accuracy.right, "n": accuracy.n, "p": p}


def line(each: dict[str, Any]) -> str:
    share = 100 * each["right"] / each["n"]
    return f"{each['work']}, seed {each['seed']}: {each['way']:<6} {share:.1f} %, p against squash {each['p']:.2g}"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The accuracy over all seeds, one row per experiment."""
    lines = ["", f"| images and model | {' | '.join(WAYS)} |", f"|---|{'---|' * len(WAYS)}"]
    for work in dict.fromkeys(each["work"] for each in rows):
        cells = []
        for way in WAYS:
            own = [each for each in rows if (each["work"], each["way"]) == (work, way)]
            cells.append(f"{100 * sum(each['right'] for each in own) / sum(each['n'] for each in own):.1f} %")
        lines.append(f"| {work} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
