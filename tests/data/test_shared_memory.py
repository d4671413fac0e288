"""If shared memory is full, a run ends within seconds and says what to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.data.shared_memory import core_count, free_bytes, lack, loader_ended, most_workers, shared
from harness.errors import TrainingError

LOADER = """
import os, sys, torch
from harness.data.loading import Batches

class Source:
    random = True

    def load(self, keys):
        if sys.argv[1:] == ["killed"]:
            os.kill(os.getpid(), 9)
        return torch.zeros(len(keys), 3, 224, 224, dtype=torch.uint8)

    def finish(self, loaded):
        return loaded

batches = Batches(Source(), [0] * 256, [[(1, i) for i in range(j, j + 32)] for j in range(0, 256, 32)], workers=2)
try:
    print(len(list(batches)))
except Exception as error:
    print(error)
batches.close()
"""


def small_memory(size: str) -> list[str]:
    """A prefix that runs a command with `size` of shared memory."""
    command = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && "$@"', "sh"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this user may not mount anything here")
    return command


def output(*before: str, arguments: tuple[str, ...] = ()) -> str:
    command = [*before, sys.executable, "-c", LOADER, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a folder only on Linux")
def test_shared_ends_a_run_if_a_batch_does_not_fit() -> None:
    said = output(*small_memory("1M"))
    assert "error: a loader process cannot send its batch" in said
    assert "/dev/shm has 1.0 MB left, a batch takes 4.8 MB" in said
    assert "-s workers=0" in said
    assert "--shm-size" in said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process would run the script again")
def test_loader_ended_names_a_loader_process_that_was_killed() -> None:
    said = output(arguments=("killed",))
    assert "error: a loader process has ended" in said
    assert "-s workers=0" in said


def test_loader_ended_distinguishes_errors() -> None:
    bus = loader_ended(RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error. It is possible ..."))
    assert bus is not None
    assert bus.what == "a loader process cannot send its batch"
    assert loader_ended(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_shared_returns_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.arange(6).reshape(2, 3)
    assert shared(batch).is_shared()
    assert torch.equal(shared(batch), torch.arange(6).reshape(2, 3))

    def full(self: torch.Tensor) -> None:
        raise RuntimeError("unable to open shared memory object: Too many open files (24)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(TrainingError, match="Too many open files"):
        shared(batch)


def test_most_workers_have_room_for_two_batches_each() -> None:
    mb = 10**6
    assert most_workers(8, 10 * mb, 3, None) == 8
    assert most_workers(8, 0, 3, 0) == 8
    assert [most_workers(8, 10 * mb, 3, free * mb) for free in (0, 49, 50, 64, 190, 9000)] == [0, 0, 1, 1, 8, 8]


def test_free_bytes_is_none_without_the_folder(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "no") is None
    assert (free_bytes(tmp_path) or 0) > 0
    assert core_count() >= 1
    assert "docker run --shm-size" in lack(OSError(28, "No space left on device")).fix
