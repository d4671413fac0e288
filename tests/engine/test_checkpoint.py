from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.engine import checkpoint
from harness.errors import ModelError, StorageError


def test_load_returns_what_save_wrote(tmp_path: Path) -> None:
    content = {"model": {"w": torch.arange(3.0)}, "classes": ["sea", "forest"], "epoch": 2, "note": None}
    checkpoint.save(tmp_path / "new" / "x.pt", content)
    loaded = checkpoint.load(tmp_path / "new" / "x.pt")
    assert torch.equal(loaded["model"]["w"], torch.arange(3.0))
    assert {**loaded, "model": None} == {**content, "model": None, "format": checkpoint.FORMAT}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.pt"]


def test_save_converts_subclasses_to_plain_values(tmp_path: Path) -> None:
    class Name(str):
        __slots__ = ()

    content = {"lr": np.float64(0.5), "epoch": np.int64(3), "name": np.str_("x"), "more": [Name("y"), {"z": (1, True)}]}
    checkpoint.save(tmp_path / "x.pt", content)
    loaded = checkpoint.load(tmp_path / "x.pt")
    del loaded["format"]
    assert loaded == {"lr": 0.5, "epoch": 3, "name": "x", "more": ["y", {"z": [1, True]}]}
    assert [type(value) for value in loaded.values()] == [float, int, str, list]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_load_refuses_a_pickle_with_code_and_does_not_run_it(tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "ran")}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(ModelError):
            checkpoint.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x00" * 4096])
def test_load_names_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.pt"):
        checkpoint.load(tmp_path / "x.pt")


def test_load_names_a_truncated_file(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.pt", {"model": {"w": torch.zeros(1000)}})
    whole = (tmp_path / "x.pt").read_bytes()
    for length in (len(whole) // 2, len(whole) - 10):
        (tmp_path / "x.pt").write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cannot be read"):
            checkpoint.load(tmp_path / "x.pt")


def test_load_refuses_a_missing_file_and_one_without_a_dictionary(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        checkpoint.load(tmp_path / "x.pt")
    torch.save(torch.zeros(2), tmp_path / "x.pt")
    with pytest.raises(ModelError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "x.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.load(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="the system cannot limit the size of files")
def test_save_to_a_full_disk_leaves_only_the_old_file(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.pt", {"model": {"w": torch.zeros(1)}})
    before = (tmp_path / "x.pt").read_bytes()
    script = (
        "import resource, sys, torch; from pathlib import Path; from harness.engine import checkpoint\n"
        "from harness.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: checkpoint.save(Path(sys.argv[1]), {'model': {'w': torch.zeros(100_000)}})\n"
        "except StorageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "x.pt"], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert "make room" in done.stdout
    assert (tmp_path / "x.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_save_raises_storage_error_if_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        checkpoint.save(tmp_path / "file" / "x.pt", {})


def test_load_refuses_weights_that_changed_on_disk(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.pt", {"model": {"w": torch.zeros(10_000)}})
    content = bytearray((tmp_path / "x.pt").read_bytes())
    offset = content.find(bytes(1000)) + 500
    content[offset] = 1  # one bit of one weight
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read") as caught:
        checkpoint.load(tmp_path / "x.pt")
    assert "checksum" in caught.value.why
