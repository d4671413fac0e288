"""Reads event files back, and asks a real TensorBoard over HTTP."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from harness.errors import StorageError
from harness.runs.run_folder import RunFolder
from harness.trackers import servers
from harness.trackers.tensorboard.hparams import FIRST, OTHERS
from harness.trackers.tensorboard.run import TensorBoard, event_files, write_again
from tests.conftest import Tracked


def read(path: Path) -> EventAccumulator:
    events = EventAccumulator(str(path), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    events.Reload()
    return events


def scalars(path: Path, tag: str) -> list[tuple[int, float]]:
    """(step, value) in float32, as the files hold them."""
    events = read(path)
    if tag in events.Tags()["scalars"]:
        return [(event.step, event.value) for event in events.Scalars(tag)]
    return [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors(tag)]


def everything(folder: Path) -> dict[str, Any]:
    """Each run's tags with their steps and values."""
    content: dict[str, Any] = {}
    for path in sorted({file.parent for file in event_files(folder)}):
        events, name = read(path), str(path.relative_to(folder))
        for tag in events.Tags()["images"]:
            content[f"{name}:{tag}"] = [(event.step, event.encoded_image_string) for event in events.Images(tag)]
        for tag in events.Tags()["scalars"]:
            content[f"{name}:{tag}"] = [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            about = events.SummaryMetadata(tag).plugin_data
            plugin = HParamsPluginData.FromString(about.content) if about.plugin_name == "hparams" else None
            content[f"{name}:{tag}"] = [(event.step, plugin, event.tensor_proto) for event in events.Tensors(tag)]
    return content


def test_epoch_writes_each_learning_rate_to_its_own_chart(tracked: Tracked, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", tracked.run.record)
    board = TensorBoard(folder)
    board.epoch({"fold": 1, "time": 1.0, "step": 2, "epoch": 1, "lr": 0.5, "lr_2": 0.25})
    board.close()
    rates = {tag: scalars(tmp_path / "run/fold1/train", tag) for tag in ("learning_rate", "learning_rate_2")}
    assert rates == {"learning_rate": [(1, 0.5)], "learning_rate_2": [(1, 0.25)]}


def test_epoch_uses_the_same_tag_for_train_and_valid(tracked: Tracked) -> None:
    rows = tracked.run.epochs()
    for fold in (1, 2):
        for side in ("train", "valid"):
            for quantity in ("loss", "accuracy"):
                expected = [(r["epoch"], np.float32(r[f"{side}_{quantity}"])) for r in rows if r["fold"] == fold]
                assert scalars(tracked.run.path / f"fold{fold}/{side}", quantity) == expected
            speed = scalars(tracked.run.path / f"fold{fold}/{side}", "images_per_second")
            assert [step for step, _ in speed] == [1, 2]
            assert all(value > 1 for _, value in speed)
        lr = scalars(tracked.run.path / f"fold{fold}/train", "learning_rate")
        assert lr == [(r["epoch"], np.float32(r["lr"])) for r in rows if r["fold"] == fold]


def test_a_fold_has_its_first_batch_confusion_matrices_and_curves(tracked: Tracked) -> None:
    for fold in (1, 2):
        train, valid = (read(tracked.run.path / f"fold{fold}/{side}") for side in ("train", "valid"))
        (batch,) = train.Images("first batch")
        assert batch.encoded_image_string == (tracked.run.plots / f"fold{fold}-batch.png").read_bytes()
        for name in ("confusion", "confusion_normalised"):
            (image,) = valid.Images(name)
            with Image.open(io.BytesIO(image.encoded_image_string)) as picture:
                assert picture.size == (image.width, image.height)
        curves = [tag for tag in valid.Tags()["tensors"] if tag.startswith("precision_recall/")]
        assert sorted(curves) == ["precision_recall/forest", "precision_recall/sea"]


def test_a_run_has_its_results_and_its_plots(tracked: Tracked) -> None:
    root = read(tracked.run.path)
    for name, value in tracked.run.results().items():
        assert scalars(tracked.run.path, f"out_of_fold/{name}")[-1] == (2, np.float32(value))
    pictures = {
        "abstention",
        "confusion",
        "confusion_normalised",
        "curves",
        "errors",
        "precision_recall",
        "reliability",
    }
    assert set(root.Tags()["images"]) == {f"run/{name}" for name in pictures}
    assert "small_cnn" in str(root.Tensors("experiment/text_summary")[0].tensor_proto.string_val)


def test_events_are_on_disk_at_the_end_of_each_epoch(tracked: Tracked, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tracked.run.record)
    board = TensorBoard(folder)
    board.start()
    for count, row in enumerate(tracked.run.epochs()[:2], 1):
        board.epoch(row)
        assert len(scalars(tmp_path / "fold1/valid", "loss")) == count
    board.end()


def test_write_again_writes_the_same_events_as_during_the_run(tracked: Tracked, tmp_path: Path) -> None:
    copy = tmp_path / tracked.run.id
    shutil.copytree(tracked.run.path, copy)
    before = everything(copy)
    write_again(RunFolder.open(copy))
    again = everything(copy)
    assert again.keys() == before.keys()
    assert {tag: rows[-1] for tag, rows in again.items()} == {tag: rows[-1] for tag, rows in before.items()}
    write_again(RunFolder.open(copy))
    assert everything(copy) == again
    assert len(event_files(copy)) == 5  # the run, and two splits of two folds: none twice


def test_write_again_keeps_the_old_files_if_it_fails(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / tracked.run.id
    shutil.copytree(tracked.run.path, copy)
    before = {path: path.read_bytes() for path in event_files(copy)}

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoard, "fold_ended", broken)
    with pytest.raises(StorageError, match="No space"):
        write_again(RunFolder.open(copy))
    assert {path: path.read_bytes() for path in event_files(copy)} == before


@pytest.fixture(scope="module")
def board(tracked: Tracked) -> Iterator[str]:
    """A real TensorBoard that shows the runs of that project."""
    server = servers.tensorboard(tracked.project / "runs", servers.free_port(None, 16006, "--port"))
    with servers.running([server]):
        yield server.address


def ask(address: str, path: str, body: object = None, **query: str) -> Any:
    url = f"{address}/data/{path}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_a_real_tensorboard_shows_only_the_run(board: str, tracked: Tracked) -> None:
    run = f"tiny/{tracked.run.id}"
    sides = [f"{run}/fold{fold}/{side}" for fold in (1, 2) for side in ("train", "valid")]
    assert sorted(ask(board, "runs")) == [run, *sides]
    tags = ask(board, "plugin/scalars/tags")
    assert {"loss", "accuracy", "images_per_second"} <= set(tags[sides[0]]) & set(tags[sides[1]])
    points = ask(board, "plugin/scalars/scalars", run=sides[1], tag="loss")
    assert [step for _, step, _ in points] == [1, 2]
    assert "first batch" in ask(board, "plugin/images/tags")[sides[0]]
    assert set(ask(board, "plugin/pr_curves/tags")) == {sides[1], sides[3]}


def test_the_hparams_page_has_one_row_per_run_with_its_results(board: str, tracked: Tracked) -> None:
    columns = ask(board, "plugin/hparams/experiment", {"experimentName": "", "hparamsLimit": 1000})
    hyperparameters = {info["name"]: info.get("differs", False) for info in columns["hparamInfos"]}
    assert set(hyperparameters) == {*FIRST, *OTHERS}
    assert {name for name, differs in hyperparameters.items() if differs} == set(FIRST)
    names = [info["name"] for info in columns["metricInfos"]]
    wanted = {"colParams": [{"metric": name} for name in names], "startIndex": 0, "sliceSize": 10}
    wanted |= {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]}
    (row,) = ask(board, "plugin/hparams/session_groups", wanted)["sessionGroups"]
    assert row["name"] == f"tiny/{tracked.run.id}"
    assert row["hparams"]["model"] == "small_cnn"
    assert row["hparams"]["batch_size"] == 8
    (session,) = row["sessions"]
    assert session["status"] == "STATUS_SUCCESS"
    values = {metric["name"]["tag"]: metric["value"] for metric in row["metricValues"]}
    expected = {f"out_of_fold/{name}": pytest.approx(value) for name, value in tracked.run.results().items()}
    assert values == expected


LIMITED = """
import resource, sys
from pathlib import Path
from torch.utils.tensorboard import summary
from harness.trackers.tensorboard.events import Events
events = Events(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for step in range(1000):
    events.add(summary.scalar("loss", 0.5), step)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_events_contain_no_half_record_on_a_full_disk(tmp_path: Path) -> None:
    """A reader stops at an incomplete record (googledatalab/pydatalab #710)."""
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    (file,) = event_files(tmp_path)
    content, records = file.read_bytes(), 0
    while content:
        size = 16 + int.from_bytes(content[:8], "little")
        assert len(content) >= size
        content, records = content[size:], records + 1
    assert len(scalars(tmp_path, "loss")) == records - 1 > 5


def test_write_again_names_an_old_file_that_cannot_be_removed(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / tracked.run.id
    shutil.copytree(tracked.run.path, copy)

    def refuse(_self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match="cannot be removed") as refused:
        write_again(RunFolder.open(copy))
    assert refused.value.fix.startswith("rm ")
