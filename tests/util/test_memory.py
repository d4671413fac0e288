from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from harness.util.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**23)  # 32 MB, 8,192 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
assert keep_freed_memory()
faults()
after = faults()
assert after < usual / 10, (usual, after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="this is about glibc")
def test_keep_freed_memory_avoids_page_faults() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
