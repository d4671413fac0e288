from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from harness.experiment_file import load, loaded
from harness.search.best_file import best_file

WRITTEN = '''"""An experiment with parts of its own."""

from harness import Experiment, run_file


def mirror(image):
    return image.flip(2)


def other(image):
    return image


experiment = Experiment(model="small_cnn", weights=None, augment=mirror, lr=0.01)

if __name__ == "__main__":
    run_file(__file__)
'''


def test_the_best_is_the_file_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(WRITTEN)
    written = load(path)
    assert loaded(path) == written
    own = sys.modules["harness_experiment_own"]
    best = written.replace(lr=0.1 + 0.2, augment=own.other, freeze="blocks.block2", views=None, callbacks=[])
    (tmp_path / "best.py").write_text(best_file(path, written, best, "the best: 98.0 %", {}))
    again = load(tmp_path / "best.py")
    assert again.name == "own"  # and not "best"
    same = {name: value for name, value in vars(again).items() if name not in ("_origins", "augment")}
    assert same == {name: vars(best)[name] for name in same}
    assert callable(again.augment)
    assert again.augment.__name__ == "other"
    text = (tmp_path / "best.py").read_text()
    assert text.startswith("# the best: 98.0 %\n")
    assert text.index("experiment.replace") < text.index("__main__")


@pytest.mark.parametrize("source", ["from harness import Experiment\nexperiment = Experiment()", WRITTEN])
def test_a_function_of_a_library_is_imported(tmp_path: Path, source: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(source)
    written = load(path)
    best = written.replace(optimizer=torch.optim.RMSprop)
    (tmp_path / "best.py").write_text(best_file(path, written, best, "the best", {}))
    assert load(tmp_path / "best.py").optimizer is torch.optim.RMSprop
