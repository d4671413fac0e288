from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.experiment_file import files, find, folder_name, load
from harness.errors import ExperimentError

GOOD = "from harness import Experiment\nexperiment = Experiment(lr=0.5)\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_load_names_an_experiment_after_its_file(tmp_path: Path) -> None:
    trial = load(write(tmp_path / "My Trial.py", GOOD))
    assert (trial.name, trial.origin("name")) == ("my-trial", "default")
    assert load(write(tmp_path / "b.py", GOOD.replace("lr=0.5", "name='other'"))).name == "other"
    assert folder_name("Ä!") == "experiment"


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("experiment = Experiment(", "x.py:1: syntax error", "never closed"),
        ("x = 1\n", "x.py has no experiment", "it does not define `experiment`"),
        ("experiment = 5\n", "x.py has no experiment", "is of type int"),
        ("\n\n1 / 0\n", "x.py:3: the experiment file failed", "ZeroDivisionError: division by zero"),
        ("import nowhere\n", "x.py:1: the experiment file failed", "No module named 'nowhere'"),
        ("raise SystemExit(3)\n", "x.py:1: the experiment file failed", "SystemExit: 3"),
        (GOOD.replace("lr", "lrr"), "x.py:2: an experiment has no field 'lrr'; did you mean 'lr'?", "its fields are"),
        (GOOD.replace("0.5", "'x'"), "x.py:2: lr = 'x' is not possible", "lr takes a number above 0"),
        ("\x00", "x.py", "null bytes"),
    ],
)
def test_load_raises_for_a_file_without_a_valid_experiment(text: str, what: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as caught:
        load(write(tmp_path / "x.py", text))
    assert what in caught.value.what
    assert why in caught.value.why


def test_load_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(Path(__file__).parents[2] / "experiments/quickstart.py")
    assert list(tmp_path.iterdir()) == []


def test_find_takes_a_path_or_a_name(project: Path) -> None:
    assert find("tiny") == find("tiny.py") == find("experiments/tiny.py") == Path("experiments/tiny.py")
    assert files() == [Path("experiments/tiny.py")]
    with pytest.raises(ExperimentError, match="'tinny'; did you mean 'tiny'"):
        find("tinny")
    with pytest.raises(ExperimentError, match=r"no experiment 'a/b\.py'"):
        find("a/b.py")
