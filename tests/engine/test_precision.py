from __future__ import annotations

import pytest
import torch

from harness.engine import precision
from harness.engine.precision import choose_precision
from harness.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("flags", "name"), [({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16"), ({"avx2"}, "fp32")])
def test_choose_precision_auto_reads_the_flags_of_the_cpu(
    flags: set[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    chosen = choose_precision("auto", CPU)
    assert chosen.name == name
    assert ("in hardware" if name == "bf16" else "reports no bf16 instructions") in chosen.reason


def test_cpu_flags_reads_this_cpu() -> None:
    flags = precision.cpu_flags()
    assert all(isinstance(flag, str) for flag in flags)
    assert flags


@pytest.mark.parametrize(
    ("capability", "name"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_choose_precision_auto_depends_on_the_gpu_generation(
    capability: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: capability >= (8, 0))
    chosen = choose_precision("auto", torch.device("cuda"))
    assert chosen.name == name
    assert chosen.scaled == (name == "fp16")
    assert chosen.mixed == (name != "fp32")


def test_choose_precision_refuses_fp16_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="fp16 does not train on cpu"):
        choose_precision("fp16", CPU)


def test_choose_precision_returns_the_requested_one() -> None:
    assert choose_precision("bf16", CPU).name == "bf16"
    assert choose_precision("fp32", CPU).reason == "as requested"
    with pytest.raises(UsageError, match="unknown"):
        choose_precision("fp8", CPU)
