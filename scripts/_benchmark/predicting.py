"""Measures predictions of image files beside two usual loops, in one run.

"threads" is the fastest way on a CPU that we know: one thread per core decodes a batch and passes it through the model.
"loader" is a DataLoader with one process per core. Both use the model of the run, its precision, and Pillow's resizing.
Each contender is a new process; only the time of the images counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from task import task

BATCH = 16
WAYS = ("threads", "loader", "harness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=949, help="Number of images; repeated if there are fewer files.")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.images)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS:
            print(f"round {number + 1}/{options.rounds}: {way}", file=sys.stderr)
            command = [sys.executable, __file__, "--way", way, "--images", str(options.images)]
            found[way].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    medians = {way: statistics.median(row["speed"] for row in rows) for way, rows in found.items()}
    print(f"resnet18 at 224 px, {options.images} photographs, {os.cpu_count()} cores, {options.rounds} rounds")
    print(f"{'':<10}{'images/s':>10}{'vs. harness':>12}{'MB':>8}")
    for way, speed in medians.items():
        memory = max(row["memory"] for row in found[way])
        print(f"{way:<10}{speed:>10.1f}{speed / medians['harness']:>12.2f}{memory:>8.0f}")


def measure(way: str, count: int) -> dict[str, float]:
    """Images per second, and the peak memory of the process in MB."""
    paths = (task().paths * count)[:count]
    run = {"threads": threads, "loader": loader, "harness": with_harness}[way](paths)
    start = time.perf_counter()
    done = run()
    seconds = time.perf_counter() - start
    assert done == count
    return {"speed": count / seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def model_to_use() -> Any:
    from harness.data.prepare import Preparation
    from harness.data.transforms import Transform
    from harness.models.build import build
    from harness.models.saved import SavedModel

    torch.manual_seed(0)
    transform = Transform(Preparation(image_size=224))
    return SavedModel(build("resnet18", 2, transform.shape).eval(), "resnet18", ("a", "b"), transform, {}, None, None)


def with_harness(paths: list[Path]) -> Callable[[], int]:
    from harness.workflows.predict.files import predict_files
    from harness.workflows.predict.predictor import Predictor

    predictor = Predictor([model_to_use()])
    return lambda: sum(1 for _ in predict_files(predictor, paths))


def bare(images: list[torch.Tensor], model: torch.nn.Module, dtype: torch.dtype) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        inputs = (torch.stack(images).permute(0, 3, 1, 2) / 255 - mean) / std
        return model(inputs).float().softmax(1)


def decoded(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)))


def precision() -> torch.dtype:
    from harness.engine.precision import choose_precision

    chosen = choose_precision("auto", torch.device("cpu"))
    return chosen.dtype if chosen.mixed else torch.float32


def threads(paths: list[Path]) -> Callable[[], int]:
    model, dtype = model_to_use().model.to(memory_format=torch.channels_last), precision()

    def one(some: list[Path]) -> int:
        torch.set_num_threads(1)
        return len(bare([decoded(path) for path in some], model, dtype))

    def run() -> int:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return sum(pool.map(one, [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]))

    return run


class Files(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return decoded(self.paths[index])


def loader(paths: list[Path]) -> Callable[[], int]:
    model, dtype = model_to_use().model.to(memory_format=torch.channels_last), precision()
    batches = torch.utils.data.DataLoader(Files(paths), 32, num_workers=os.cpu_count() or 1)
    return lambda: sum(len(bare(list(batch), model, dtype)) for batch in batches)


if __name__ == "__main__":
    main()
