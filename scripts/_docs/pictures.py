"""`scripts/docs --pictures [NAME...]`: makes the pictures of the pages from real runs on the drawn demo data."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from browser import screenshot
from pages import ROOT
from PIL import Image, ImageDraw
from projects import make_project
from shell import Shell

from harness.data.demo import draw
from harness.data.prepare import Preparation

WHITE, INK = (255, 255, 255), (20, 35, 30)


def report(shell: Shell) -> Image.Image:
    """The first screen of the report of a run."""
    page = min(shell.home.glob("runs/quickstart/*/report.html"))  # the others are tests
    return screenshot(page.as_uri(), (1280, 1290))  # up to the end of the learning curves


def trackers(shell: Shell) -> tuple[Image.Image, Image.Image]:
    """TensorBoard and MLflow over two runs, as `harness ui` starts them."""
    do(shell, "harness run quickstart -s lr=1e-3 --json", "harness sync runs/quickstart/2*")
    pictures = []
    for name, query, (width, height) in (
        ("tensorboard", "/?smoothing=0&runFilter=valid#timeseries", (1280, 720)),
        ("mlflow", "/#/experiments/1/runs?workflowType=machine_learning", (1620, 480)),
    ):
        command = [sys.executable, "-m", "harness", "ui", "--only", name]
        server = subprocess.Popen(
            command, cwd=shell.home, env=shell.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert server.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            printed += server.stdout.readline()
        address = re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]
        pictures.append(screenshot(address + query, (width, height), 25))
        server.terminate()
        server.communicate(timeout=60)
    tensorboard, mlflow = pictures
    return tensorboard, mlflow.crop((0, 0, 1203, mlflow.height))  # without the assistant's pane


def check(shell: Shell) -> Image.Image:
    """The first screen of a check of data with planted faults."""
    data = shell.home / "data"
    for number in (10, 11, 12):  # near copies of training images among the test images
        with Image.open(data / f"train/sea/sea_{number:04d}.jpg") as image:
            image.crop((3, 3, 93, 93)).save(data / f"test/sea/holiday_{number}.jpg", quality=80)
    with Image.open(data / "train/sea/sea_0020.jpg") as image:  # one image in two classes
        image.save(data / "train/forest/holiday.jpg", quality=70)
    for number in (30, 31):
        (data / f"train/forest/forest_{number:04d}.jpg").rename(data / f"train/sea/wood_{number}.jpg")
        with Image.open(data / f"train/sea/sea_{number:04d}.jpg") as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(data / f"train/sea/mirrored_{number}.jpg")
    Image.new("RGB", (96, 96), (128, 128, 128)).save(data / "train/forest/blank.jpg")
    do(shell, "harness run quickstart -s trackers=", "harness data check quickstart")
    return screenshot((shell.home / "runs/data_check/quickstart.html").as_uri(), (1180, 1490))


def heatmap(shell: Shell) -> Image.Image:
    """A sea and a forest of the test images, each with its heat map."""
    do(
        shell,
        "harness predict 7f1b data/test/sea/sea_0003.jpg data/test/forest/forest_0002.jpg --explain maps",
    )
    maps = [Image.open(path).convert("RGB") for path in sorted((shell.home / "maps").glob("*.jpg"), reverse=True)]
    return beside([image.resize((3 * image.width, 3 * image.height), Image.Resampling.BICUBIC) for image in maps])


def study(shell: Shell) -> Image.Image:
    """The plots of a search, one below the other."""
    do(shell, "harness search quickstart --trials 20")
    plots = shell.home / "runs/quickstart/study-quickstart/plots"
    images = [
        Image.open(plots / f"{name}.png").convert("RGB") for name in ("history", "parallel", "slices", "importances")
    ]
    scale = 1100 / max(image.width for image in images)
    return below([image.resize((round(image.width * scale), round(image.height * scale))) for image in images])


def resize(_shell: Shell) -> Image.Image:
    """A wide and a tall drawing, and the square that each way of resizing makes of them."""
    rows = []
    for size in ((288, 162), (150, 200)):
        before = drawn_boat(size)
        after = [np.asarray(Preparation(image_size=168, resize=way, background="grey").array(before))
                 for way in ("squash", "crop", "pad")]  # fmt: skip
        titles = [f"{size[0]} x {size[1]} pixels", *(f'resize="{way}"' for way in ("squash", "crop", "pad"))]
        images = [titled(image, title) for image, title in
                  zip([before, *map(Image.fromarray, after)], titles, strict=True)]  # fmt: skip
        images[0] = padded(images[0], (300, images[0].height))
        rows.append(beside(images))
    return below(rows)


def drawn_boat(size: tuple[int, int]) -> Image.Image:
    """A drawn sea of the demo data with a sun and a boat, whose shapes show what resizing does."""
    image = draw("train", "sea", 148).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    width, height = size
    pen.ellipse((0.78 * width, 0.1 * height, 0.78 * width + 30, 0.1 * height + 30), fill=(255, 214, 95))
    left, top = 0.08 * width, 0.72 * height
    pen.polygon([(left, top), (left + 50, top), (left + 42, top + 14), (left + 8, top + 14)], fill=(125, 60, 35))
    pen.polygon([(left + 25, top - 42), (left + 25, top - 3), (left + 48, top - 3)], fill=(245, 240, 232))
    return image


def titled(image: Image.Image, title: str) -> Image.Image:
    canvas = Image.new("RGB", (image.width, image.height + 22), WHITE)
    canvas.paste(image, (0, 22))
    ImageDraw.Draw(canvas).text((0, 2), title, fill=INK, font_size=14)
    return canvas


def padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, WHITE)
    canvas.paste(image)
    return canvas


def beside(images: list[Image.Image], gap: int = 16) -> Image.Image:
    width = sum(image.width + gap for image in images) - gap
    canvas = Image.new("RGB", (width, max(image.height for image in images)), WHITE)
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width + gap
    return canvas


def below(images: list[Image.Image], gap: int = 16) -> Image.Image:
    height = sum(image.height + gap for image in images) - gap
    canvas = Image.new("RGB", (max(image.width for image in images), height), WHITE)
    top = 0
    for image in images:
        canvas.paste(image, (0, top))
        top += image.height + gap
    return canvas


def do(shell: Shell, *commands: str) -> None:
    """Runs commands. Raises RuntimeError if one fails."""
    for command in commands:
        output, code = shell.run(command)
        if code:
            raise RuntimeError(f"{command} ended with exit code {code}:\n" + "\n".join(output))


MAKERS: dict[str, Callable[[Shell], Image.Image | tuple[Image.Image, ...]]] = {
    "report": report,
    "tensorboard,mlflow": trackers,
    "check": check,
    "heatmap": heatmap,
    "study": study,
    "resize": resize,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MAKERS)}; by default all")
    parser.add_argument("--scratch", type=Path, help="keeps the projects in this folder for the next call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pictures-") as temporary:
        scratch = (arguments.scratch or Path(temporary)).resolve()
        for names, maker in MAKERS.items():
            if arguments.names and not {*names.split(",")} & {*arguments.names}:
                continue
            folder = Path(tempfile.mkdtemp(dir=temporary)) / "project"
            make_project("run", folder, scratch)
            with Shell(folder, scratch) as shell:
                made = maker(shell)
            for name, image in zip(names.split(","), made if isinstance(made, tuple) else (made,), strict=True):
                path = ROOT / "docs" / f"{name}.png"
                image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
                print(f"{path.relative_to(ROOT)}  {image.width} x {image.height}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
