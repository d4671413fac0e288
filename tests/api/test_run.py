"""`harness.run`, `test` and `compare` do the same as the commands, several times in one process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

import harness
from harness.engine.trainer import Callback, State
from harness.errors import ExperimentError, ModelError, UsageError
from harness.workflows.find_checkpoint import find_checkpoint
from tests.conftest import Tracked, write_experiment
from tests.toy import SMALL


def test_run_reads_an_edited_file_and_its_imports_again(project: Path, scenery: Path) -> None:
    """One kernel may run a file many times. Signal handlers, threads and random numbers do not change."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    numbers = torch.get_rng_state()
    (project / "experiments").mkdir(exist_ok=True)
    path = write_experiment(project / "experiments/tiny.py", scenery, trackers=(), epochs=1)
    text = path.read_text()
    path.write_text(text.replace("experiment = Experiment(", "import rates\nexperiment = Experiment(lr=rates.LR, "))
    (project / "experiments/rates.py").write_text("LR = 0.01\n")
    first = harness.run("tiny", folds=2)
    assert first.record.experiment["lr"] == 0.01
    (project / "experiments/rates.py").write_text("LR = 0.02\n")
    path.write_text(path.read_text().replace("epochs=1", "epochs=2"))
    second = harness.run(path, fast_dev_run=True, folds=2)
    assert (second.record.experiment["lr"], second.record.experiment["epochs"]) == (0.02, 1)
    assert "fast dev run" in repr(second)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), torch.get_num_threads()) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert len(first.predictions) == first.n == 33
    assert first.predictions["right"].mean() == pytest.approx(first.accuracy)
    assert first.interval[0] < first.accuracy < first.interval[1]
    assert len(first.history) == 2
    assert first.plots["confusion"].is_file()
    assert "data:image/png" in first.plots._repr_html_()
    assert str(first.n) in first._repr_html_()
    assert first.model(device="cpu").predict(first.model().predict([]) or scenery / "none", on_error="none") is None
    assert (harness.open_run(first.id[-4:]).path) == first.path


def test_run_in_a_folder_beside_the_experiment_has_its_model_and_report(project: Path, scenery: Path) -> None:
    done = harness.run(SMALL.replace(data=str(scenery), epochs=1, folds=2, trackers=()), out="result")
    assert done.path == Path("result")
    image = next(str(path) for path in sorted(scenery.rglob("*.*")) if path.is_file())
    assert done.model(device="cpu").predict(image).label in done.model().classes
    ensemble = done.model(ensemble=True)
    assert len(ensemble.predict([image])) == 1
    assert "harness test result --ensemble" in " ".join(ensemble.notes)
    (done.path / "checkpoints/fold1.pt").unlink()
    (done.path / "checkpoints/fold2.pt").unlink()
    with pytest.raises(UsageError, match="harness refit result, which trains one"):
        find_checkpoint("result", Path("runs"))
    assert done.report(force=True) == Path("result/report.html")


def test_run_takes_an_experiment_from_a_notebook(
    project: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = SMALL.replace(data=str(scenery), epochs=1, folds=2, name="")
    done = harness.run(experiment, fast_dev_run=True)
    assert done.path.parent.name == "notebook"
    assert "only in this notebook" not in capsys.readouterr().err
    with_function = experiment.replace(augment=lambda image: image)
    harness.run(with_function, fast_dev_run=True)
    printed = capsys.readouterr().err
    assert "the function for augment exists only in this notebook" in printed
    assert "predict" not in printed.split("cannot find it")[0]


def test_run_with_a_model_function_of_a_notebook_works_only_in_this_process(
    project: Path, scenery: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, classes))

    tiny.__module__, tiny.__qualname__ = "__main__", "tiny"
    done = harness.run(SMALL.replace(data=str(scenery), model=tiny, epochs=1, folds=2, name=""))
    assert "predict, test, export, refit" in capsys.readouterr().err
    image = next(scenery.rglob("*.jpg"))
    assert done.model(device="cpu").predict(image).label in done.record.data.classes
    assert "trained on all images" in done.refit(device="cpu").source
    monkeypatch.setattr("harness.workflows.experiment_copy._of_notebook", {})  # as in another process
    with pytest.raises(ModelError, match="the function tiny of a notebook, which is not in a file"):
        harness.load_model(done)
    with pytest.raises(UsageError, match="these fields were functions of that file or of a notebook: "):
        done.refit()


INTERRUPT = """
from harness.engine.callback import Callback


class Interrupt(Callback):
    def on_epoch_end(self, state):
        raise KeyboardInterrupt


experiment = experiment.replace(callbacks=(Interrupt(),))
"""


def test_run_says_how_to_continue_if_it_is_interrupted(
    project: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupt(Callback):
        def on_epoch_end(self, state: State) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.run(SMALL.replace(data=str(scenery), epochs=2, folds=2, name="cell", callbacks=(Interrupt(),)))
    assert "to continue: harness.run again" in capsys.readouterr().err  # no other process has that callback
    path = write_experiment(project / "cut.py", scenery, trackers=(), epochs=2, folds=2)
    path.write_text(path.read_text() + INTERRUPT)
    with pytest.raises(KeyboardInterrupt):
        harness.run(path)
    (folder,) = (project / "runs/cut").iterdir()
    printed = capsys.readouterr().err
    assert f"interrupted: the training so far is saved in runs/cut/{folder.name}" in printed
    assert "harness resume" in printed


def test_run_raises_the_errors_of_the_command(project: Path, scenery: Path) -> None:
    for given, settings, says in (
        ("nothing", {}, "there is no experiment"),
        (3, {}, "of type int is not an experiment"),
        (SMALL.replace(data=str(scenery)), {"learning": 1}, "no field"),
        (SMALL.replace(data=str(scenery)), {"lr": -1}, "lr"),
    ):
        with pytest.raises(ExperimentError) as error:
            harness.run(given, **settings)  # type: ignore[arg-type]
        assert says in error.value.what
    with pytest.raises(harness.HarnessError):
        harness.run(SMALL.replace(data=str(project / "none")))
    with pytest.raises(ExperimentError, match="without a file"):
        harness.search(SMALL.replace(data=str(scenery)))


def test_test_and_compare_return_the_results_of_the_commands(project: Path, tracked: Tracked, scenery: Path) -> None:
    options = {"allow_leak": True, "trackers": [], "device": "cpu"}
    tested = harness.test(harness.load_model(tracked.run.path), scenery, min_accuracy=0, **options)  # type: ignore[arg-type]
    assert tested.passed
    failed = harness.test(tracked.run.path, scenery, min_accuracy=1, ensemble=True, **options)  # type: ignore[arg-type]
    assert failed.passed is (failed.accuracy == 1)
    assert "LEAK" in repr(failed)
    assert failed.record.ensemble.models == 2  # type: ignore[attr-defined]
    assert harness.compare(tested, failed, allow_leak=True).n == 33


@pytest.mark.slow
def test_search_returns_the_best_trial(project: Path, scenery: Path) -> None:
    (project / "experiments").mkdir(exist_ok=True)
    write_experiment(project / "experiments/tiny.py", scenery, trackers=(), epochs=1)
    found = harness.search("tiny", trials=3, folds=2)
    assert len(found.trials) == 3
    assert set(found.best_params) <= {"lr", "batch_size", "freeze", "views"}
    assert found.best.accuracy == found.result.best.value  # type: ignore[union-attr]
    assert found.plots
    assert "StudyRun(" in repr(found)
    assert "<table>" in found._repr_html_()
