"""Tests of resuming: an interrupted run gives the same bits as an uninterrupted one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile, load
from harness.engine import checkpoint
from harness.engine.callbacks import fit_checkpoint
from harness.engine.trainer import Callback, State
from harness.errors import UsageError
from harness.runs.record_parts import ProgressRecord, Status, TrialOf
from harness.runs.run_folder import RunFolder
from harness.runs.unfinished import claim, next_progress, progress_text
from harness.util.heartbeat import STALE_SECONDS
from harness.workflows.crossval import CrossValidation, cross_validate
from harness.workflows.make_plan import make_plan
from harness.workflows.reproduce import TIMES
from harness.workflows.resume import compare_with, latest_unfinished, unfinished_run
from tests.conftest import Outcome, write_experiment

pytestmark = pytest.mark.usefixtures("undrawn")


class Interrupted(Callback):
    """Raises KeyboardInterrupt at one batch of a fold, once."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_batch_end(self, state: State) -> None:
        cut = Path("cut")
        if cut.exists() and f"{state.phase} {state.epoch} {state.done}" == self.at:
            cut.unlink()
            raise KeyboardInterrupt


def experiment(scenery: Path, at: str = "train 2 2", **fields: Any) -> Experiment:
    values = {"name": "x", "model": "small_cnn", "weights": None, "image_size": 32, "folds": 2, "batch_size": 8}
    values |= {"precision": "fp32", "epochs": 3, "lr": 0.01, "trackers": (), "callbacks": [Interrupted(at)]}
    return Experiment(data=str(scenery), **(values | fields))


def interrupted(one: Experiment, fold: int = 1, **options: Any) -> RunFolder:
    """A run that Ctrl-C interrupted in a fold."""
    Path("cut").touch() if fold == 1 else None
    with pytest.MonkeyPatch.context() as patch:
        if fold > 1:
            patch.setattr(RunFolder, "end_fit", _touching(RunFolder.end_fit))
        with pytest.raises(KeyboardInterrupt):
            cross_validate(one, **options)
    (path,) = Path("runs/x").iterdir()
    return RunFolder.open(path)


def _touching(end_fit: Any) -> Any:
    def wrapped(self: RunFolder, **changes: Any) -> None:
        end_fit(self, **changes)
        Path("cut").touch()

    return wrapped


def resumed(folder: RunFolder, one: Experiment, **options: Any) -> CrossValidation:
    plan = make_plan(one)
    unfinished = compare_with(folder, plan)
    assert not unfinished.changes
    return cross_validate(plan, resume=unfinished.resume(), **options)


def require_same(one: Path, other: Path) -> None:
    """Asserts that two runs have the same bits in predictions, history and weights."""
    first, second = RunFolder.open(one), RunFolder.open(other)
    assert first.predictions() == second.predictions()
    rows = [[{n: v for n, v in row.items() if n not in TIMES} for row in each.epochs()] for each in (first, second)]
    assert sorted(rows[0], key=_place) == rows[1]
    names = sorted(path.name for path in first.checkpoints.iterdir())
    assert names == sorted(path.name for path in second.checkpoints.iterdir())
    for name in names:
        weights = [checkpoint.load(each.checkpoints / name)["model"] for each in (first, second)]
        assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def _place(row: dict[str, Any]) -> tuple[int, int]:
    return row["fold"], row["epoch"]


KINDS: dict[str, dict[str, Any]] = {
    "onecycle": {"scheduler": "onecycle"},
    "frozen": {"freeze": "blocks.block2"},
    "frozen, augmented": {"freeze": True, "augment": "flip", "views": 2},
    "live frozen": {"freeze": True, "cache": False, "augment": "flip"},
    "dropout": {"model": "squeezenet1_1", "epochs": 2, "image_size": 64, "folds": 0},
    "bf16": {"precision": "bf16", "optimizer": "adamw", "scheduler": "cosine"},
    "best epoch": {"epoch": "best", "patience": 2, "metrics": ["macro_f1"]},
    "plateau": {"scheduler": "plateau", "optimizer": "sgd"},
    "repeats": {"repeats": 2, "folds": 0},
}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Restores the number of threads, which a resumed run sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def at_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is saved after each batch."""
    monkeypatch.setattr(fit_checkpoint, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(fit_checkpoint, "REST", 0.0)


@pytest.mark.parametrize("kind", ["onecycle", pytest.param("frozen, augmented", marks=pytest.mark.slow)])
def test_resume_gives_the_same_bits(kind: str, at_each_batch: None, scenery: Path, project: Path) -> None:
    require_the_same_bits(kind, scenery)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_resume_gives_the_same_bits_for_all_kinds(kind: str, at_each_batch: None, scenery: Path, project: Path) -> None:
    require_the_same_bits(kind, scenery)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_resume_after_the_last_complete_epoch_gives_the_same_bits(kind: str, scenery: Path, project: Path) -> None:
    require_the_same_bits(kind, scenery)


def require_the_same_bits(kind: str, scenery: Path) -> None:
    """Interrupts a run in its second fold, resumes it, and compares it with an uninterrupted run."""
    one = experiment(scenery, "valid 2 1", **KINDS[kind])
    whole = cross_validate(one, runs="whole")
    folder = interrupted(one, fold=2 if one.folds or one.repeats > 1 else 1)
    assert folder.status is Status.INTERRUPTED
    assert folder.record.progress is not None
    assert folder.record.progress.epoch == 1
    result = resumed(folder, one)
    assert result.run_dir == folder.path
    require_same(result.run_dir, whole.run_dir)
    record = RunFolder.open(result.run_dir).record
    assert (record.status, record.progress, record.error) == (Status.FINISHED, None, None)
    (resume,) = record.resumes
    assert (resume.differs, resume.forced) == ([], False)
    assert resume.progress is not None
    assert resume.progress.epoch == 1
    assert not folder.unfinished.exists()
    assert not (folder.path / ".alive").exists()


@pytest.fixture
def cut_off(scenery: Path, project: Path) -> RunFolder:
    """A run of the file `experiments/tiny.py` that Ctrl-C interrupted in its second fold."""
    file = project / "experiments/tiny.py"
    text = file.read_text().replace("Experiment(", "Experiment(callbacks=[Interrupted('train 2 1')], ")
    file.write_text(f"from tests.workflows.test_resume import Interrupted\n{text}")
    source = ExperimentFile.run(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "end_fit", _touching(RunFolder.end_fit))
        with pytest.raises(KeyboardInterrupt):
            cross_validate(source.experiment, source=source)
    (path,) = Path("runs/tiny").iterdir()
    return RunFolder.open(path)


def test_list_shows_the_progress_and_how_to_resume(cut_off: RunFolder, call: Callable[..., Outcome]) -> None:
    listed, short = call("list"), cut_off.id[-4:]
    assert "saved: fold 2 of 2, epoch 1 of 2" in listed.out
    assert f"to continue {short}: harness resume {short}\n" in listed.out


def test_resume_command_continues_and_prints_differences(cut_off: RunFolder, call: Callable[..., Outcome]) -> None:
    outcome = call("resume", cut_off.id)
    assert outcome.code == 0
    assert f"resumes    {cut_off.path}, after fold 2 of 2, epoch 1 of 2" in outcome.err
    assert "fold 1/2" not in outcome.err
    assert "resumed      fold 2, after epoch 1, bit-identical to an uninterrupted run" in outcome.out
    assert call("resume", cut_off.id).error_lines == [
        f"error: {cut_off.path} cannot be resumed",
        "  why: its status is finished",
        "  try: harness run EXPERIMENT, for a new run",
    ]


def test_run_resume_continues_the_latest_unfinished_run(cut_off: RunFolder, call: Callable[..., Outcome]) -> None:
    output = json.loads(call("run", "tiny", "--resume", "--json").out)
    assert output["run_dir"] == str(cut_off.path)
    again = call("run", "tiny", "--resume", "--json")
    assert "no unfinished run of tiny with these settings in runs: a new one begins" in again.err
    assert json.loads(again.out)["run_dir"] != str(cut_off.path)
    assert json.loads(again.out)["accuracy"] == output["accuracy"]


def test_resume_refuses_an_edited_file_without_force(cut_off: RunFolder, call: Callable[..., Outcome]) -> None:
    file = Path("experiments/tiny.py")
    file.write_text(file.read_text() + "\nprint('edited')\n")
    refused = call("run", "tiny", "--resume")
    assert refused.code == 2
    assert "tiny.py: nothing then, line 5 '' now" in refused.error_lines[1]
    assert RunFolder.open(cut_off.path).status is Status.INTERRUPTED
    forced = call("run", "tiny", "--resume", "--force")
    assert forced.code == 0
    assert "FORCED" in forced.out
    (resume,) = RunFolder.open(cut_off.path).record.resumes
    assert resume.forced
    assert (cut_off.path / "experiment.py").read_bytes() == file.read_bytes()


def test_latest_unfinished_ignores_other_settings(cut_off: RunFolder) -> None:
    file = load("experiments/tiny.py")
    assert latest_unfinished(file.override({"lr": "0.5"}), Path("runs")) is None
    assert latest_unfinished(file, Path("runs"), fold=1) is None
    found = latest_unfinished(file, Path("runs"))
    assert found is not None
    assert found.id == cut_off.id


def test_latest_unfinished_is_none_after_a_newer_finished_run(cut_off: RunFolder) -> None:
    copy = RunFolder.open(Path(shutil.copytree(cut_off.path, cut_off.path.with_name("21990101-000000-aaaa"))))
    copy.update(status=Status.FINISHED, started="2199-01-01T00:00:00+00:00", id="21990101-000000-aaaa")
    assert latest_unfinished(load("experiments/tiny.py"), Path("runs")) is None


def test_resume_refuses_other_images_without_force_and_other_classes_always(
    cut_off: RunFolder, scenery: Path, project: Path, call: Callable[..., Outcome]
) -> None:
    shutil.copytree(scenery, project / "images")
    cut_off.update(data=dataclasses.replace(cut_off.record.data, digest="0" * 32 + ".dir"))
    refused = call("resume", cut_off.id)
    assert refused.code == 2
    assert "images: 33 (00000000000000000000000000000000.dir) then, 33 (" in refused.error_lines[1]
    assert call("resume", cut_off.id, "--force").code == 0
    record = RunFolder.open(cut_off.path).record
    assert record.resumes[0].progress == ProgressRecord(2, 0, 0)  # the saved state is of other images
    cut_off.reload()
    counts = {"forest": 15, "lake": 18}
    cut_off.update(status=Status.DIED, data=dataclasses.replace(cut_off.record.data, classes=counts))
    classes = call("resume", cut_off.id, "--force")
    assert classes.code == 2
    assert "classes: forest, lake then, forest, sea now" in classes.error_lines[1]


def test_resume_records_another_machine(cut_off: RunFolder, call: Callable[..., Outcome]) -> None:
    versions = {**cut_off.record.versions, "torch": "1.0"}
    cut_off.update(versions=versions, threads=10**3, host="another")
    (cut_off.path / ".alive").touch()
    outcome = call("resume", cut_off.id)
    assert outcome.code == 0
    assert "differs    torch: 1.0 then" in outcome.err
    assert "equal to an uninterrupted run within noise (torch: 1.0 then" in outcome.whole_out
    (resume,) = RunFolder.open(cut_off.path).record.resumes
    assert [each.split(":")[0] for each in resume.differs] == ["torch", "host", "threads"]


def test_run_on_another_machine_is_dead_without_a_heartbeat(cut_off: RunFolder) -> None:
    cut_off.update(status=Status.RUNNING, host="another", pid=1, since="x:1")
    assert cut_off.status is Status.RUNNING  # from a version without heartbeats
    (cut_off.path / ".alive").touch()
    assert cut_off.status is Status.RUNNING
    with pytest.raises(UsageError, match="is still running"):
        unfinished_run(cut_off.id, Path("runs"))
    then = time.time() - STALE_SECONDS - 1
    os.utime(cut_off.path / ".alive", (then, then))
    assert cut_off.status is Status.DIED
    assert unfinished_run(cut_off.id, Path("runs")).id == cut_off.id


def test_claim_lets_only_one_process_resume(cut_off: RunFolder) -> None:
    other = RunFolder.open(cut_off.path)
    claim(cut_off)
    with pytest.raises(UsageError, match="is already running"):
        claim(other)
    cut_off.update(status=Status.FINISHED)
    with pytest.raises(UsageError, match="cannot be resumed") as refused:
        claim(other)
    assert "another process resumed it" in refused.value.why


def test_unfinished_run_refuses_trials_and_tests(cut_off: RunFolder) -> None:
    cut_off.update(study=TrialOf("tiny", "20260101-000000-aaaa", 3))
    with pytest.raises(UsageError, match="is a trial"):
        unfinished_run(str(cut_off.path), Path("runs"))


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("predictions", "checkpoint", "torn checkpoint", "metrics")
]


@pytest.mark.parametrize("damage", ["state", *SLOW])
def test_resume_trains_damaged_folds_again(
    damage: str, cut_off: RunFolder, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    if damage == "state":
        cut_off.unfinished.write_bytes(cut_off.unfinished.read_bytes()[:-100])
    elif damage == "metrics":
        lines = cut_off.metrics.read_text().splitlines()
        cut_off.metrics.write_text("\n".join(lines[1:]) + '\n{"fold": 2, "ep')
    elif damage == "predictions":
        next(cut_off.path.glob("predictions/*.npz")).unlink()
    elif damage == "checkpoint":
        (cut_off.checkpoints / "fold1.pt").unlink()
    else:
        content = (cut_off.checkpoints / "fold1.pt").read_bytes()
        (cut_off.checkpoints / "fold1.pt").write_bytes(content[:-1000])
    assert call("resume", cut_off.id).code == 0
    whole = json.loads(call("run", "tiny", "--json").out)
    require_same(cut_off.path, Path(whole["run_dir"]))


def test_refit_is_resumed(
    cut_off: RunFolder, at_each_batch: None, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off.update(asked={"refit": True})
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "end_fit", _touching(RunFolder.end_fit))
        assert call("resume", cut_off.id).code == 130  # in the refit, by the same callback
    folder = RunFolder.open(cut_off.path)
    assert (folder.status, len(folder.record.folds)) == (Status.INTERRUPTED, 2)
    assert progress_text(folder, next_progress(folder)) == "the refit, epoch 1 of 2"
    assert call("resume", cut_off.id).code == 0
    folder.reload()
    assert folder.record.refit is not None
    whole = RunFolder.open(Path(json.loads(call("run", "tiny", "--refit", "--json").out)["run_dir"]))
    weights = [checkpoint.load(each.checkpoints / "model.pt")["model"] for each in (folder, whole)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    lines = [len((each.path / "refit.jsonl").read_text().splitlines()) for each in (folder, whole)]
    assert lines == [2, 2]


def test_resume_without_a_saved_state_restarts_the_fold(scenery: Path, project: Path) -> None:
    one = experiment(scenery, "train 1 1")
    folder = interrupted(one)
    assert not folder.unfinished.exists()
    assert progress_text(folder, next_progress(folder)) == "fold 1 of 2, epoch 0 of 3"
    result = resumed(folder, one)
    require_same(result.run_dir, cross_validate(one, runs="whole").run_dir)


def test_resume_lists_attributes_that_could_not_be_saved(scenery: Path, project: Path) -> None:
    class Opens(Callback):
        def on_epoch_start(self, state: State) -> None:
            self.hook = state.model.register_forward_hook(lambda *_: None)

        def __deepcopy__(self, _: Any) -> Opens:
            return Opens()

    one = experiment(scenery, callbacks=[Interrupted("train 2 2"), Opens()])
    folder = interrupted(one)
    unfinished = compare_with(folder, make_plan(one))
    assert unfinished.unsaved == ("Opens.hook (RemovableHandle)",)
    (text,) = unfinished.resume().record.differs
    assert text == "could not be saved, and is reset: Opens.hook (RemovableHandle)"


def test_resume_compares_each_field_of_the_experiment(cut_off: RunFolder) -> None:
    file = write_experiment(Path("other.py"), Path(cut_off.record.data.folder), lr=0.5, workers=1, name="tiny")
    (change,) = [each for each in compare_with(cut_off, make_plan(load(file))).changes if each.what == "lr"]
    assert (change.then, change.now) == ("0.001", "0.5")
