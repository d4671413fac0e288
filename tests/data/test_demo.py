from __future__ import annotations

import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.data.check import check_images
from harness.data.demo import COUNTS, draw, draw_demo
from harness.data.groups import numbered
from harness.data.listing import list_images
from harness.errors import DataError
from harness.util.locks import locked

# of the training images, by the two versions of Pillow in constraints.txt
DIGEST = "0c2a6788280198a842d1471acbd588c8.dir"


def test_draw_demo_draws_the_documented_number_of_images(demo: Path) -> None:
    assert list_images(demo / "train").counts() == {"forest": 474, "sea": 475}
    assert list_images(demo / "test").counts() == {"forest": 20, "sea": 15}
    assert draw("test", "sea", 3).size == (96, 96)


def test_draw_demo_always_draws_the_same_bytes(demo: Path) -> None:
    images = list_images(demo / "train")
    check = check_images(images)
    assert check.problems == {}
    assert numbered(check.hashes, check.looks()) is None
    if PIL.__version__ in ("12.3.0", "13.0.0"):
        assert check.digest(images) == DIGEST
    again = draw("train", "forest", 7)
    again.save(demo.parent / "again.jpg", quality=90)
    assert (demo.parent / "again.jpg").read_bytes() == (demo / "train/forest/forest_0007.jpg").read_bytes()


def test_draw_demo_draws_no_test_image_that_is_a_training_image(demo: Path) -> None:
    train, test = (set(check_images(list_images(demo / part)).hashes) for part in ("train", "test"))
    assert not train & test


def test_draw_demo_classes_do_not_differ_in_the_mean_colour(demo: Path) -> None:
    colours, labels = [], []
    for name in ("sea", "forest"):
        for path in sorted((demo / "train" / name).iterdir()):
            with Image.open(path) as image:
                colours.append(np.asarray(image).mean((0, 1)))
            labels.append(name)
    assert len(labels) == COUNTS["train", "sea"] + COUNTS["train", "forest"]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    accuracy = cross_val_score(model, np.array(colours), labels, cv=5).mean()
    assert 0.5 < accuracy < 0.8


def test_draw_demo_waits_for_a_process_that_draws_the_same(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This process holds the lock; a thread plays the process that waits."""
    folder, err = tmp_path / "data", ""
    with ThreadPoolExecutor() as pool:
        with locked(tmp_path / ".data.lock", tell=print):
            counts = pool.submit(draw_demo, folder)
            while "waiting" not in err:
                assert not counts.done()
                err += capsys.readouterr().err
                time.sleep(0.01)
            shutil.copytree(demo, folder)
        assert counts.result()[1] is False
    assert f"process {os.getpid()} draws {folder}: waiting for it" in err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_draw_demo_draws_nothing_twice_and_overwrites_no_other_files(demo: Path, tmp_path: Path) -> None:
    before = hashlib.md5((demo / "train/sea/sea_0000.jpg").read_bytes()).hexdigest()
    assert not draw_demo(demo)[1]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_bytes(b"precious")
    with pytest.raises(DataError, match="other files"):
        draw_demo(tmp_path / "mine")
    assert (tmp_path / "mine/photo.jpg").read_bytes() == b"precious"
    assert hashlib.md5((demo / "train/sea/sea_0000.jpg").read_bytes()).hexdigest() == before
