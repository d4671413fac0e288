from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.experiment_file import load
from harness.config.experiment_text import read_text

ROOT = Path(__file__).parents[2]
START = "from harness import Experiment\n"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda path: path.stem)
def test_read_text_returns_the_same_values_as_load(path: Path) -> None:
    fields = {"model", "freeze", "image_size", "lr", "batch_size", "folds", "epochs"}
    read = read_text(path, fields)
    assert read is not None
    whole = load(path)
    assert [getattr(read, name) for name in fields] == [getattr(whole, name) for name in fields]


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nfrom harness import Experiment, run_file\nexperiment = Experiment(lr=0.5, loss=torch.nn.Loss())",
        f"{START}def search_space(trial): return dict(lr=experiment.lr)\nexperiment = Experiment(lr=0.5)",
        f"{START}experiment = Experiment(callbacks=[print], lr=0.5)\nif __name__ == '__main__':\n    raise SystemExit",
    ],
)
def test_read_text_does_not_run_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text)
    read = read_text(path, {"lr", "epochs"})
    assert read is not None
    assert read.lr == 0.5


@pytest.mark.parametrize(
    "text",
    [
        f"{START}RATE = 0.5\nexperiment = Experiment(lr=RATE)",
        f"{START}experiment = Experiment(lr=0.1)\nexperiment = experiment.replace(lr=0.5)",
        f"{START}experiment = Experiment(lr=0.1)\nfor experiment in ():\n    pass",
        f"{START}experiment = Experiment(**dict(lr=0.1))",
        f"{START}experiment = Experiment(0.1)",
        f"{START}experiment = Experiment(larning_rate=f())",
        f"{START}experiment = Experiment(lr=-1)",
        f"{START}experiment = make()",
        f"{START}if True:\n    experiment = Experiment()",
        f"{START}import no_such_package_anywhere\nexperiment = Experiment()",
        f"{START}from .beside import x\nexperiment = Experiment()",
        "from elsewhere import Experiment\nexperiment = Experiment()",
        "Experiment = dict\nexperiment = Experiment(lr=0.1)",
        "experiment = (",
        "",
    ],
)
def test_read_text_returns_none_if_the_file_has_to_be_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text)
    assert read_text(path, {"lr"}) is None
    assert read_text(tmp_path / "nowhere.py", {"lr"}) is None
