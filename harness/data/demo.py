"""Draws the demo data: images of seas and forests, with the same bytes on every machine that has constraints.txt.

Only exactly rounded arithmetic is used (+, -, *, /, comparisons, integers), because the last bit of sines and of sums
over arrays depends on the processor. Pillow resizes noise and writes JPEG in integers, which are exact.

Hue, brightness and contrast of the two classes are drawn from the same ranges. Both have skies, seas may be green and
forests may be blue. The classes differ in structure: waves below a level horizon, or trunks and canopies. A model of
only the mean colour has a low accuracy, which a test checks.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from harness.errors import DataError, storage_errors
from harness.util.console import counted, print_line
from harness.util.locks import lock_of, remove_lock
from harness.util.signals import in_one_piece

SIZE = 96  # pixels
COUNTS = {("train", "sea"): 475, ("train", "forest"): 474, ("test", "sea"): 15, ("test", "forest"): 20}
SEED = 20240607
DIGEST = "dc508c8523601616c1c96a84427877de.dir"  # of the whole folder in DVC, with the versions of constraints.txt

Field = npt.NDArray[np.float64]  # (96, 96) in 0..1, or (96, 96, 3) colours in 0..1
Rng = np.random.Generator

ROWS, COLUMNS = (axis.astype(np.float64) for axis in np.mgrid[0:SIZE, 0:SIZE])


def draw_demo(folder: Path, force: bool = False) -> tuple[dict[str, int], bool]:
    """Draws `folder/{train,test}/{sea,forest}`. Returns the images per class folder, and whether they were drawn now.

    A folder that already contains the demo data is not changed. If another process draws them, waits for it. Raises
    DataError if the folder contains other files, unless `force`; StorageError if it cannot be written.
    """
    folder = folder.absolute()
    counted = {f"{part}/{name}": count for (part, name), count in COUNTS.items()}
    if _files_in(folder) == {*_wanted()} and not force:
        return counted, False
    lock = folder.with_name(f".{folder.name}.lock")

    def print_waiting(who: str) -> None:
        print_line(f"{who} draws {folder}: waiting for it")

    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock_of(lock, True, "--to with another folder", print_waiting, required=False):
            return counted, _draw_alone(folder, force)
    finally:
        with contextlib.suppress(OSError):
            remove_lock(lock)


def _wanted() -> dict[str, tuple[str, str, int]]:
    """Path in the folder -> part, class and number of its image."""
    return {
        f"{part}/{name}/{name}_{number:04d}.jpg": (part, name, number)
        for (part, name), count in COUNTS.items()
        for number in range(count)
    }


def _draw_alone(folder: Path, force: bool) -> bool:
    """Draws all images, while this process holds the lock. Returns False if they exist already."""
    wanted, present = _wanted(), _files_in(folder)
    if present == set(wanted) and not force:
        return False
    if present and not force:
        raise DataError(
            f"{folder} contains other files than the demo data",
            f"{len(present - set(wanted))} other files are in it, {len(set(wanted) - present)} files are missing",
            f"harness data demo --to OTHER, or --force to replace {folder}",
        )
    unfinished, replaced = (folder.with_name(f".{folder.name}.{word}") for word in ("unfinished", "replaced"))
    with storage_errors(folder):
        for left_over in (unfinished, replaced):
            shutil.rmtree(left_over, ignore_errors=True)
        try:
            for path, (part, name, number) in counted(wanted.items(), len(wanted), "drawing", "image"):
                file = unfinished / path
                file.parent.mkdir(parents=True, exist_ok=True)
                draw(part, name, number).save(file, quality=90)
            with in_one_piece():
                if folder.exists():
                    folder.replace(replaced)  # the old folder is deleted after the new one is in place
                unfinished.replace(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    return True


def _files_in(folder: Path) -> set[str]:
    """The files below `folder`; empty if it does not exist. Raises DataError if the folder must not be replaced."""
    here, real = Path.cwd().resolve(), folder.resolve()
    if folder.is_symlink() or real == here or real in here.parents:
        why = "it is a link" if folder.is_symlink() else f"the current folder is in it: {here}"
        raise DataError(f"the demo data cannot be drawn in {folder}", why, "harness data demo --to data")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "it is a file", "harness data demo --to OTHER")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def draw(part: str, name: str, number: int) -> Image.Image:
    """Draws image `number` of one class. It depends only on the arguments, so any image can be drawn separately."""
    rng = np.random.Generator(np.random.PCG64([SEED, sorted(COUNTS).index((part, name)), number]))
    scene: Callable[[Rng], Field] = {"sea": _sea, "forest": _forest}[name]
    picture = Image.fromarray((_light(rng, scene(rng)).clip(0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.4:  # an enlarged part, which may not contain the horizon or the crowns
        side = int(rng.integers(SIZE // 3, SIZE))
        left, top = (int(start) for start in rng.integers(0, SIZE - side + 1, 2))
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return picture


# --- what both share


def _light(rng: Rng, picture: Field) -> Field:
    """Applies the light to a whole picture: brightness, contrast, a colour cast, haze and the sensor's grain."""
    middle = _between(rng, 0.32, 0.62)
    mean = np.array([_mean(picture[..., channel]) for channel in range(3)])
    contrast = _between(rng, 0.7, 1.15) * (_between(rng, 0.1, 0.5) if rng.random() < 0.15 else 1)  # some in fog or dusk
    grey = (mean[0] + mean[1] + mean[2]) / 3
    cast = middle * _between(rng, 0.93, 1.07, 3) + _between(rng, 0.4, 1.0) * (mean - grey)
    grain = rng.integers(-6, 7, (SIZE, SIZE, 1)) / 255.0
    lit: Field = (picture - mean) * contrast + cast + grain
    return lit


def _between(rng: Rng, low: float, high: float, count: int | None = None) -> Any:
    """Like `rng.uniform`, but without its multiply-and-add, which some processors round once and others twice."""
    return low + (high - low) * rng.random(count)


def _mean(values: Field) -> float:
    """A mean computed with integers, whose sum does not depend on the order of the terms."""
    return float((values * 65536).astype(np.int64).sum()) / 65536 / values.size


def _noise(rng: Rng, columns: int, rows: int, size: tuple[int, int] = (SIZE, SIZE)) -> Field:
    """Smooth noise in 0..1 with `columns` × `rows` blobs, as an array of `size` (width, height)."""
    blobs = Image.fromarray(rng.integers(0, 256, (rows, columns), dtype=np.uint8))
    smooth: Field = np.asarray(blobs.resize(size, Image.Resampling.BICUBIC)) / 255.0
    return smooth


def _mix(below: Field, above: Field, share: Field) -> Field:
    """Paints `above` over `below`; `share` (96, 96) is 1 where it covers."""
    share = share.clip(0, 1)[..., None]
    return below * (1 - share) + above * share


def _colour(rng: Rng, choices: list[tuple[float, float, float]], spread: float = 0.06) -> Field:
    base = np.array(choices[int(rng.integers(len(choices)))])
    colour: Field = (base + _between(rng, -spread, spread, 3)).clip(0, 1)
    return colour


def _sky(rng: Rng) -> Field:
    """A gradient from top to bottom, and clouds."""
    palette = [(0.45, 0.62, 0.85), (0.70, 0.74, 0.78), (0.90, 0.68, 0.48), (0.62, 0.60, 0.70), (0.80, 0.86, 0.92)]
    top, low = _colour(rng, palette), _colour(rng, palette)
    down = (ROWS / SIZE)[..., None]
    sky = top * (1 - down) + low * down
    clouds = (_noise(rng, int(rng.integers(2, 6)), int(rng.integers(4, 12))) - _between(rng, 0.35, 0.75)) * 2.5
    return _mix(sky, np.ones((SIZE, SIZE, 3)) * _between(rng, 0.75, 0.98), clouds * _between(rng, 0.2, 0.9))


FOLIAGE = [(0.20, 0.34, 0.14), (0.30, 0.42, 0.18), (0.52, 0.38, 0.16), (0.34, 0.42, 0.44), (0.16, 0.24, 0.22)]
EARTH = [(0.34, 0.28, 0.20), (0.28, 0.36, 0.18), (0.55, 0.50, 0.42), (0.42, 0.34, 0.22)]


# --- the sea


def _sea(rng: Rng) -> Field:
    """Waves that become larger towards the viewer, below a level horizon; perhaps a coast, a sun, a beach, rocks."""
    picture = _sky(rng)
    level = _between(rng, 18, 58) + _between(rng, -0.05, 0.05) * (COLUMNS - SIZE / 2)
    if rng.random() < 0.4:
        hills = level - 2 - _between(rng, 4, 14) * _noise(rng, int(rng.integers(3, 7)), 1)
        picture = _mix(picture, _leaves(rng) * 0.8 + 0.15, ROWS - hills)
    depth = (ROWS - level).clip(0, None)
    water = _water(rng, depth)
    if rng.random() < 0.35:
        centre, width = _between(rng, 15, 80), _between(rng, 3, 9)
        sun = 1.2 - ((COLUMNS - centre) ** 2 + (ROWS - level + _between(rng, 6, 25)) ** 2) / (width * width)
        picture = _mix(picture, np.ones((SIZE, SIZE, 3)), sun)
        glitter = (1 - abs(COLUMNS - centre) / (width + depth / 4)) * (_waves(rng, depth) - 0.35) * 4
        water = _mix(water, np.ones((SIZE, SIZE, 3)) * np.array([1.0, 0.95, 0.8]), glitter)
    picture = _mix(picture, water, ROWS - level + 0.5)
    if rng.random() < 0.4:
        picture = _beach(rng, picture)
    if rng.random() < 0.3:
        picture = _rocks(rng, picture, level)
    return picture


def _water(rng: Rng, depth: Field) -> Field:
    palette = [(0.16, 0.36, 0.50), (0.24, 0.44, 0.42), (0.40, 0.46, 0.50), (0.20, 0.30, 0.28), (0.48, 0.44, 0.36)]
    near, far = _colour(rng, palette), _colour(rng, palette)
    share = (depth / SIZE)[..., None]
    waves = _waves(rng, depth)
    water = near * share + far * (1 - share) + ((waves - 0.5) * _between(rng, 0.25, 0.6))[..., None]
    foam = (waves - _between(rng, 0.68, 0.95)) * 6
    return _mix(water, np.ones((SIZE, SIZE, 3)) * 0.95, foam * _between(rng, 0.3, 1))


def _waves(rng: Rng, depth: Field) -> Field:
    """Noise on a plane seen from a height of `rise`, so that the rows are closer together near the horizon."""
    rise = _between(rng, 250, 600)
    plane = _noise(rng, 96, 128, (768, 256))
    away = rise / (depth + 5)
    across = (COLUMNS - SIZE / 2) * 60 / (depth + 14) + 384 + away * _between(rng, -0.6, 0.6)
    fine = plane[(away * 1.7).astype(np.int64) % 256, across.astype(np.int64) % 768]
    coarse = plane[(away * 0.5).astype(np.int64) % 256, (across / 2).astype(np.int64) % 768]
    waves: Field = fine * 0.55 + coarse * 0.45
    return waves


def _beach(rng: Rng, picture: Field) -> Field:
    edge = _between(rng, 70, 90) + _between(rng, -0.2, 0.2) * (COLUMNS - SIZE / 2) + 8 * _noise(rng, 4, 1)
    sand = _colour(rng, EARTH) * 1.2 + (_noise(rng, 48, 48)[..., None] - 0.5) * 0.12
    surf = 1 - abs(ROWS - edge) / _between(rng, 1.5, 4)
    return _mix(_mix(picture, sand, (ROWS - edge) / 2), np.ones((SIZE, SIZE, 3)) * 0.95, surf)


def _rocks(rng: Rng, picture: Field, level: Field) -> Field:
    for _ in range(int(rng.integers(1, 4))):
        centre, half, height = _between(rng, 0, SIZE), _between(rng, 6, 18), _between(rng, 6, 24)
        foot = level + _between(rng, 4, 30)
        top = foot - height * (1 - abs(COLUMNS - centre) / half) - 5 * _noise(rng, 12, 1)
        inside = (ROWS - top).clip(0, 1) * (foot - ROWS).clip(0, 1) * (abs(COLUMNS - centre) < half)
        rock = _colour(rng, EARTH) * 0.6 + (_noise(rng, 20, 20)[..., None] - 0.5) * 0.3
        picture = _mix(picture, rock, inside)
    return picture


# --- the forest


def _forest(rng: Rng) -> Field:
    """Trunks under a canopy, or a line of crowns against the sky; perhaps mist, perhaps leaves in front."""
    picture = _sky(rng)
    ground = _between(rng, 55, 92) + _between(rng, -0.1, 0.1) * (COLUMNS - SIZE / 2) + 6 * _noise(rng, 5, 1)
    earth = _colour(rng, EARTH) + (_noise(rng, 40, 30)[..., None] - 0.5) * _between(rng, 0.15, 0.5)
    if rng.random() < 0.4:
        skyline = _between(rng, 8, 50) + _between(rng, 8, 24) * _noise(rng, int(rng.integers(6, 16)), 1)
        skyline = skyline + 10 * _noise(rng, int(rng.integers(16, 40)), 6)
        picture = _mix(picture, _leaves(rng), ROWS - skyline)
        trunks = int(rng.integers(2, 8))
    else:
        gaps = _noise(rng, int(rng.integers(4, 10)), int(rng.integers(4, 10))) - _between(rng, 0.05, 0.55)
        picture = _mix(picture, _leaves(rng), gaps * 6)
        trunks = int(rng.integers(5, 16))
    picture = _mix(picture, earth, (ROWS - ground) / 2)
    mist = _colour(rng, [(0.75, 0.78, 0.80), (0.80, 0.72, 0.60), (0.55, 0.64, 0.66)])
    misty = _between(rng, 0, 0.7)
    for near in np.linspace(0, 1, trunks):
        picture = _trunk(rng, picture, ground, float(near), mist, misty * (1 - float(near)))
    if rng.random() < 0.6:
        front = (_noise(rng, 14, 14) + (abs(ROWS - 48) / 48) - _between(rng, 1.1, 1.5)) * 5
        picture = _mix(picture, _leaves(rng), front)
    return picture


def _leaves(rng: Rng) -> Field:
    """Foliage: blotches of three sizes between a dark and a bright colour."""
    dark, bright = _colour(rng, FOLIAGE) * _between(rng, 0.3, 0.8), _colour(rng, FOLIAGE) * _between(rng, 1.0, 1.9)
    blotches = 0.35 * _noise(rng, 10, 10) + 0.35 * _noise(rng, 24, 24) + 0.3 * _noise(rng, 60, 60)
    share = ((blotches - 0.5) * _between(rng, 2, 4) + 0.5).clip(0, 1)[..., None]
    leaves: Field = dark * (1 - share) + bright * share
    return leaves


def _trunk(rng: Rng, picture: Field, ground: Field, near: float, mist: Field, misty: float) -> Field:
    """One trunk, from its foot to the top of the picture. A nearer trunk is wider and its foot is lower."""
    half = 0.6 + near * _between(rng, 0.5, 5)
    lean = _between(rng, -0.12, 0.12)
    centre = _between(rng, 0, SIZE) + lean * (SIZE - ROWS) + 1.5 * _noise(rng, 1, 4)
    across = (COLUMNS - centre) / half
    bark = _colour(rng, [(0.24, 0.18, 0.14), (0.40, 0.32, 0.24), (0.78, 0.76, 0.72), (0.16, 0.16, 0.18)])
    shaded = bark * (1 - 0.45 * across[..., None].clip(-1, 1)) + (_noise(rng, 60, 16)[..., None] - 0.5) * 0.25
    coloured = shaded * (1 - misty) + mist * misty
    foot = (ground + near * 14 - ROWS).clip(0, 1)
    top = (ROWS - _between(rng, -40, 25)).clip(0, 1)
    return _mix(picture, coloured, ((1 - abs(across)) * half + 0.5).clip(0, 1) * foot * top)
