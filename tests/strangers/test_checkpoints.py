"""Checkpoints that somebody sends."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.data.images import Images
from harness.data.listing import list_images
from tests.strangers.conftest import Sandbox

NOT_A_NUMBER = float("nan")
FIELDS: list[tuple[str, Any]] = [
    *(("experiment.name", value) for value in ("../../x", "/absolute/x", "--help", "A b", 7, ["x"])),
    *(("experiment.data", value) for value in ("", "a\0b", 7)),
    *(("experiment.test_data", value) for value in ("", 7, ["data"])),
    *(("experiment.min_accuracy", value) for value in (-1, 2, NOT_A_NUMBER, "0", None)),
    *(("experiment.trackers", value) for value in ("mlflow", [7], 7)),
    ("experiment", ["name"]),
    *(("classes", value) for value in ([], ["sea", 7], ["../x", "sea"], ["", "sea"], "sea", {"sea": 1})),
    *(
        ("architecture", value)
        for value in (7, None, "os:system", "evil.module:run", "../x", "resnet18; x", "x" * 10**6)
    ),
    *(("transform.image_size", value) for value in (10**9, 0, -1, "32", 31.5)),
    *(("transform.mean", value) for value in ([0.5], [NOT_A_NUMBER] * 3, "abc")),
    *(("transform.std", value) for value in ([0.0, 0.0, 0.0], [-1.0] * 3, [float("inf")] * 3)),
    *(("fold", value) for value in (-1, "../x", 10**12)),
    *(("data_digest", value) for value in ("../x", 7)),
]


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=lambda value: ascii(value)[:40])
def test_a_checkpoint_with_a_field_of_another_form_is_refused(
    sandbox: Sandbox, scenery: Path, field: str, value: Any
) -> None:
    path = sandbox.run / "checkpoints/fold1.pt"
    content = torch.load(path, weights_only=True)
    part, _, last = field.rpartition(".")
    (content[part] if part else content)[last] = value
    for other in (sandbox.run / "checkpoints").glob("*.pt"):
        torch.save(content, other)
    for named in (path, sandbox.run):
        outcome = sandbox.runs("test", named, "--data", scenery, "--allow-leak", "--tracker", "none")
        assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
    outcome = sandbox.runs("champion", "promote", sandbox.run, "--data", scenery, "--allow-leak", "--force")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
    assert [path.name for path in (sandbox.project / "runs").iterdir()] == ["tiny"]
    assert not (sandbox.project / "models").exists()


TENSORS: list[tuple[str, Callable[[], Any]]] = [
    ("meta", lambda: torch.empty(10**9, device="meta")),
    ("expanded", lambda: torch.zeros(1).expand(10**12)),
    ("sparse", lambda: torch.eye(3).to_sparse()),
]


@pytest.mark.parametrize("make", [make for _, make in TENSORS], ids=[name for name, _ in TENSORS])
def test_a_tensor_that_is_no_plain_one_is_refused(sandbox: Sandbox, scenery: Path, make: Callable[[], Any]) -> None:
    path = sandbox.run / "checkpoints/fold1.pt"
    content = torch.load(path, weights_only=True)
    content["model"][next(iter(content["model"]))] = make()
    torch.save(content, path)
    outcome = sandbox.runs("test", path, "--data", scenery, "--allow-leak")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_checkpoint_that_asks_for_more_than_it_holds_is_refused_before_it_is_read(
    sandbox: Sandbox, scenery: Path
) -> None:
    """A few megabytes that unpack to gigabytes, and one number that stands for 2**33."""
    path = sandbox.run / "checkpoints/fold1.pt"
    content = torch.load(path, weights_only=True)
    torch.save(content | {"trained_on": torch.zeros(1, dtype=torch.int64).expand(2**33)}, sandbox.project / "wide.pt")
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(sandbox.project / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, bytes(2**29) if name.endswith("data/0") else whole.read(name))
    for name, says in (("wide.pt", "needs 68,719,476,736 bytes"), ("bomb.pt", "unpack to")):
        for command in (("test", name, "--data", scenery, "--tracker", "none"), ("predict", name, scenery)):
            outcome = sandbox.runs(*command)
            assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
            assert says in outcome.error_lines[1]


def test_a_pipe_is_no_checkpoint(sandbox: Sandbox, scenery: Path) -> None:
    os.mkfifo(sandbox.project / "pipe.pt")
    assert sandbox.runs("test", "pipe.pt", "--data", scenery, "--allow-leak").code == 2


@pytest.mark.parametrize("named", ["\\\\host\\share", "//host/share", "http://host/x", "\\/host/share"])
def test_a_folder_on_another_machine_is_not_asked_for(
    sandbox: Sandbox, scenery: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Windows would send the user's name and a digest of the password."""
    path = sandbox.run / "checkpoints/fold1.pt"
    content = torch.load(path, weights_only=True)
    content["experiment"] |= {"data": named, "test_data": named}
    torch.save(content, path)
    asked: list[str] = []

    def listed(root: Path | str, *arguments: Any, **options: Any) -> Images:
        asked.append(str(root))
        return list_images(root, *arguments, **options)

    monkeypatch.setattr("harness.workflows.images_to_test.list_images", listed)
    assert "another machine" in sandbox.runs("test", path, "--tracker", "none").err
    assert (
        sandbox.runs("test", path, "--data", scenery, "--allow-leak", "--min-accuracy", 0, "--tracker", "none").code
        == 0
    )
    assert asked == [str(scenery)]
