from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import nn

from harness.config.experiment import Experiment
from harness.errors import DataError, UsageError
from harness.training.plan import Plan
from harness.training.plan_notes import setting_notes
from harness.workflows.make_plan import make_plan
from harness.workflows.new_record import record_of


def plan(
    data: Path, fold: int | None = None, skip_corrupt: bool = False, allow_leak: bool = False, **fields: Any
) -> Plan:
    values = {"name": "x", "model": "small_cnn", "weights": None, "image_size": 32, "folds": 3, "precision": "fp32"}
    experiment = Experiment(data=str(data), **(values | fields))
    return make_plan(experiment, fold=fold, skip_corrupt=skip_corrupt, allow_leak=allow_leak, device="cpu")


@pytest.fixture
def copy(scenery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenery, tmp_path / "copy"))


def test_plan_lines_describe_the_run(scenery: Path) -> None:
    text = "\n".join(plan(scenery, freeze=True).lines())
    assert "33 images (forest 15, sea 18); training set 22, validation set 11" in text
    assert "258 parameters to train, 97,680 frozen" in text
    assert "all but the head frozen" in text
    assert "fp32: as requested" in text


def test_make_plan_ignores_folders_of_other_programs(copy: Path, scenery: Path) -> None:
    for name in ("forest", "sea"):  # a Synology NAS stores thumbnails beside images
        shutil.copytree(scenery / name, copy / name / "@eaDir")
    made, plain = plan(copy), plan(scenery)
    assert made.splits == plain.splits
    assert made.digest == plain.digest
    assert "warning    folders that other programs created are left out (2, with 33 files): forest/@eaDir" in "\n".join(
        made.lines()
    )


def test_make_plan_warns_of_another_size_than_that_of_the_weights() -> None:
    """https://github.com/pytorch/vision/issues/4936, https://github.com/lukemelas/EfficientNet-PyTorch/issues/231"""

    def notes(**fields: Any) -> list[str]:
        return setting_notes(Experiment(**{"trackers": (), **fields}))

    assert notes(model="efficientnet_b4") == [
        "the ImageNet weights of efficientnet_b4 were evaluated at 380 px, but images are resized to 224: "
        "-s image_size=380"
    ]
    assert notes(model="inception_v3")[0].endswith("-s image_size=299")
    assert notes(model="efficientnet_b4", image_size=224) == []
    assert notes(model="efficientnet_b4", weights=None) == []
    for name in ("resnet18", "small_cnn"):
        assert notes(model=name) == []


def test_make_plan_warns_of_dropout_that_freezing_turns_off(scenery: Path) -> None:
    made = plan(scenery, model=dropping, freeze=True, batch_size=8)
    assert any("dropout is off in the frozen part (0.1)" in note for note in made.notes)
    assert not any("dropout" in note for note in plan(scenery, model=dropping, batch_size=8).notes)


def dropping(classes: int) -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.1), nn.Conv2d(4, 4, 1))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def test_make_plan_of_one_fold(scenery: Path) -> None:
    assert list(plan(scenery, fold=2).splits) == [2]
    with pytest.raises(UsageError, match="no fold 4"):
        plan(scenery, fold=4)


def test_make_plan_refuses_or_skips_corrupt_images(copy: Path) -> None:
    (copy / "sea/sea00.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 33 images"):
        plan(copy)
    made = plan(copy, skip_corrupt=True)
    assert len(made.images) == 32
    assert made.skipped == {"sea/sea00.jpg": "empty"} == record_of(made).data.skipped
    assert "left out because they cannot be decoded, 1 image: sea/sea00.jpg" in made.notes
    assert made.lines()[0].endswith("images that cannot be decoded are left out: sea 1 of 18")
    assert sorted(i for split in made.splits.values() for i in split.valid) == list(range(32))


def test_make_plan_refuses_a_class_with_only_corrupt_images(copy: Path) -> None:
    for path in (copy / "forest").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="at least 3 images of each class") as caught:
        plan(copy, skip_corrupt=True)
    assert "forest (0)" in caught.value.why


def test_make_plan_warns_first_of_an_image_in_two_classes(copy: Path) -> None:
    shutil.copy(copy / "sea/sea00.jpg", copy / "forest/again.jpg")
    (copy / "sea/notes.txt").touch()
    first, second, _ = plan(copy).notes
    assert first.startswith("CONTRADICTION: 1 images are in two classes")
    assert first.endswith("forest/again.jpg and sea/sea00.jpg")
    assert (
        second
        == "1 images are copies of others; all copies of an image are in one fold: forest/again.jpg, sea/sea00.jpg"
    )


def test_make_plan_keeps_copies_in_one_fold(copy: Path) -> None:
    for path in sorted((copy / "sea").iterdir()):
        shutil.copy(path, copy / "sea" / f"copy of {path.name}")
        Image.open(path).save(copy / "sea" / f"{path.stem}.png")
    made = plan(copy)
    assert made.groups is not None
    assert len(set(made.groups.tolist())) == 33
    assert "69 images (forest 15, sea 54) in 33 groups" in made.lines()[1]
    for split in made.splits.values():
        assert not {made.groups[i] for i in split.train} & {made.groups[i] for i in split.valid}
    assert sorted(i for split in made.splits.values() for i in split.valid) == list(range(69))


def test_make_plan_refuses_a_leak_into_the_test(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "test/sea").mkdir(parents=True)
    Image.open(copy / "sea/sea01.jpg").save(tmp_path / "test/sea/leaked.png")
    with pytest.raises(DataError, match=r"1 of 1 images in .* is also in the training set") as caught:
        plan(copy, test_data=str(tmp_path / "test"))
    assert "sea/leaked.png" in caught.value.why
    assert "--allow-leak" in caught.value.fix
    (note,) = plan(copy, allow_leak=True, test_data=str(tmp_path / "test")).notes
    assert note.startswith("1 of 1 test images")


def test_make_plan_warns_of_a_test_folder_that_a_test_would_refuse(scenery: Path, tmp_path: Path) -> None:
    (tmp_path / "test/desert").mkdir(parents=True)
    notes = " ".join(plan(scenery, test_data=str(tmp_path / "test")).notes)
    assert "unknown classes: desert" in notes


def test_make_plan_warns_of_patience_without_effect(scenery: Path) -> None:
    assert plan(scenery, patience=10, epochs=2).notes == ("patience=10 can never stop a fold of 2 epochs",)
    (note,) = plan(scenery, patience=2, epochs=10).notes
    assert "-s epoch=best uses the best epoch of the inner part" in note
    assert plan(scenery, patience=2, epochs=10, epoch="best").notes == ()


def test_make_plan_warns_once_of_a_missing_tracker(scenery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan(scenery, trackers=["mlflow", "tensorboard"]).notes == ()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (note,) = plan(scenery, trackers=["mlflow", "tensorboard"]).notes
    assert note.startswith("mlflow is not installed")


def test_make_plan_refuses_an_unknown_monitor(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'val_loss' to monitor; did you mean 'valid_loss'"):
        plan(tmp_path, monitor="val_loss")


def test_make_plan_reads_weights_before_images(scenery: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        plan(scenery, weights=str(tmp_path / "w.pth"))


def test_make_plan_counts_skipped_files_by_class(copy: Path) -> None:
    for name in ("sea/a.psd", "sea/b.psd", "forest/notes.txt", "README.md"):
        (copy / name).touch()
    (note,) = plan(copy).notes
    assert note.startswith("4 files left out: the name is not that of an image, or the file is in no class: ")
    assert note.endswith("no class 1 (README.md); forest 1 (forest/notes.txt); sea 2 (sea/a.psd, sea/b.psd)")
