from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.config.experiment_file import ExperimentFile, load
from harness.tuning.best_file import CannotBeWrittenError, best_file

WRITTEN = '''"""An experiment with own parts."""

from harness import Experiment, run_file


def mirror(image):
    return image.flip(2)


def other(image):
    return image


experiment = Experiment(model="small_cnn", weights=None, augment=mirror, lr=0.01)

if __name__ == "__main__":
    run_file(__file__)
'''


def test_best_file_is_the_experiment_file_with_the_changes(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(WRITTEN)
    file = ExperimentFile.run(path)
    written = file.experiment
    own = file.module
    best = written.replace(lr=0.1 + 0.2, augment=own.other, freeze="blocks.block2", views=None, callbacks=[])
    (tmp_path / "best.py").write_text(best_file(file, best, "the best: 98.0 %", {}))
    again = load(tmp_path / "best.py")
    assert again.name == "own"  # not "best"
    same = {name: value for name, value in vars(again).items() if name not in ("_origins", "augment")}
    assert same == {name: vars(best)[name] for name in same}
    assert callable(again.augment)
    assert again.augment.__name__ == "other"
    text = (tmp_path / "best.py").read_text()
    assert text.startswith("# the best: 98.0 %\n")
    assert text.index("experiment.replace") < text.index("__main__")


@pytest.mark.parametrize("source", ["from harness import Experiment\nexperiment = Experiment()", WRITTEN])
def test_best_file_imports_a_function_of_a_library(tmp_path: Path, source: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(source)
    file = ExperimentFile.run(path)
    written = file.experiment
    best = written.replace(optimizer=torch.optim.RMSprop)
    (tmp_path / "best.py").write_text(best_file(file, best, "the best", {}))
    assert load(tmp_path / "best.py").optimizer is torch.optim.RMSprop


SPACE = """

def search_space(trial):
    rate = trial.suggest_float("rate", 0.0, 1.0)
    return {"loss": functools.partial(F.cross_entropy, label_smoothing=rate)}
"""


def test_best_file_calls_the_space_for_a_value_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "import functools\nimport torch.nn.functional as F\n"
        + WRITTEN.replace("\nif __name__", f"{SPACE}\nif __name__")
    )
    file = ExperimentFile.run(path)
    written = file.experiment
    best = written.replace(loss=functools.partial(F.cross_entropy, label_smoothing=0.25))
    text = best_file(file, best, "the best", {"rate": 0.25})
    (tmp_path / "best.py").write_text(text)
    again = load(tmp_path / "best.py").loss
    assert isinstance(again, functools.partial)
    assert again.keywords == {"label_smoothing": 0.25}
    file = dataclasses.replace(file, code=WRITTEN.encode())
    with pytest.raises(CannotBeWrittenError, match="loss"):
        best_file(file, best, "the best", {"rate": 0.25})


def test_best_file_ignores_a_main_block_in_a_docstring(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(WRITTEN.replace("own parts.", "own parts.\n\nif __name__ == '__main__': it runs\n"))
    file = ExperimentFile.run(path)
    written = file.experiment
    (tmp_path / "best.py").write_text(best_file(file, written.replace(lr=0.5), "the best", {}))
    assert load(tmp_path / "best.py").lr == 0.5


ASKING = """

def search_space(trial):
    rate = trial.suggest_float("rate", 0.0, 1.0)
    scale = trial.suggest_categorical("scale", [1.0, float("inf")])
    assert trial.number == 7
    assert not trial.study.get_trials(deepcopy=False)
    return {"loss": functools.partial(F.cross_entropy, label_smoothing=rate)}
"""


def test_best_file_gives_the_space_a_study(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "import functools\nimport torch.nn.functional as F\n"
        + WRITTEN.replace("\nif __name__", f"{ASKING}\nif __name__")
    )
    file = ExperimentFile.run(path)
    best = file.experiment.replace(loss=functools.partial(F.cross_entropy, label_smoothing=0.25))
    (tmp_path / "best.py").write_text(best_file(file, best, "the best", {"rate": 0.25, "scale": float("inf")}, 7))
    again = load(tmp_path / "best.py").loss
    assert isinstance(again, functools.partial)
    assert again.keywords == {"label_smoothing": 0.25}


def test_best_file_imports_modules_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/own_helpers_of_a_test.py").write_text("RATE = 0.25\n")
    path = tmp_path / "experiments/own.py"
    path.write_text("from own_helpers_of_a_test import RATE\n" + WRITTEN)
    file = ExperimentFile.run(path)
    written = file.experiment
    (tmp_path / "best.py").write_text(best_file(file, written, "the best", {}, threads=1))
    code = (
        f"from harness import load; load({str(tmp_path / 'best.py')!r}); import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("between", ["\n\n", "; ", "  # größe\n"])
def test_best_file_keeps_future_imports_first(between: str, tmp_path: Path) -> None:
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers/other_helpers_of_a_test.py").write_text("RATE = 0.25\n")
    path = tmp_path / "helpers/own.py"
    imports = f"from __future__ import annotations{between}from other_helpers_of_a_test import RATE\nfrom"
    text = WRITTEN.replace("\n\nfrom", f"\n\n{imports}", 1)
    path.write_text(text)
    file = ExperimentFile.run(path)
    written = file.experiment
    (tmp_path / "best.py").write_text(best_file(file, written.replace(lr=0.5), "the best", {}))
    assert load(tmp_path / "best.py").lr == 0.5
    done = subprocess.run(
        [sys.executable, "best.py", "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "Usage" in done.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig"])
def test_best_file_reads_the_encoding_that_the_source_names(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "own.py"
    named = f"# -*- coding: {encoding} -*-\n" if encoding == "latin-1" else ""
    path.write_text(named + WRITTEN.replace("mirror", "größe"), encoding=encoding)
    file = ExperimentFile.run(path)
    written = file.experiment
    text = best_file(file, written.replace(lr=0.5), "the best", {})
    (tmp_path / "best.py").write_bytes(text.encode())
    again = load(tmp_path / "best.py")
    assert (again.lr, again.augment.__name__) == (0.5, "größe")  # type: ignore[union-attr]


MAKE = """
import functools
import torch.nn.functional as F


def make(trial, low):
    rate = trial.suggest_float("rate", low, 1.0)
    return {"loss": functools.partial(F.cross_entropy, label_smoothing=rate)}
"""


@pytest.mark.parametrize(
    "code",
    [
        f"{MAKE}\nsearch_space = functools.partial(make, low=0.0)\n",
        f"{MAKE}\nsearch_space = lambda trial: make(trial, 0.0)\n",
        "from spaces_of_a_test import search_space\n",
    ],
)
def test_best_file_calls_any_kind_of_search_space(code: str, tmp_path: Path) -> None:
    (tmp_path / "spaces_of_a_test.py").write_text(f"{MAKE}\ndef search_space(trial):\n    return make(trial, 0.0)\n")
    path = tmp_path / "own.py"
    path.write_text(f"{WRITTEN}\n{code}")  # after the `if __name__ == "__main__":`
    file = ExperimentFile.run(path)
    best = file.experiment.replace(loss=functools.partial(F.cross_entropy, label_smoothing=0.25))
    text = best_file(file, best, "the best", {"rate": 0.25})
    (tmp_path / "best.py").write_text(text)
    again = load(tmp_path / "best.py").loss
    assert isinstance(again, functools.partial)
    assert again.keywords == {"label_smoothing": 0.25}
    assert text.index("fixed_trial") < text.index("__main__")


def test_best_file_splits_lines_like_python(tmp_path: Path) -> None:
    """A form feed or a line separator in a string does not start a new line."""
    path = tmp_path / "own.py"
    future = "from __future__ import annotations\n\x0c\nTEXT = 'a\u2028b\x1cc'\n"
    path.write_text(WRITTEN.replace("\n\nfrom", f"\n\n{future}\nfrom", 1), encoding="utf-8")
    file = ExperimentFile.run(path)
    text = best_file(file, file.experiment.replace(lr=0.5), "the best", {})
    (tmp_path / "best.py").write_text(text, encoding="utf-8")
    again = ExperimentFile.run(tmp_path / "best.py")
    assert (again.experiment.lr, again.module.TEXT) == (0.5, "a\u2028b\x1cc")
