from __future__ import annotations

import pytest
import torch

from harness.training.arithmetic import arithmetic_of

CPU = torch.device("cpu")


def test_arithmetic_of_a_cpu_includes_the_matmul_precision() -> None:
    before, medium = arithmetic_of(CPU), torch.get_float32_matmul_precision()
    precision = torch.backends.mkldnn.matmul.fp32_precision
    torch.set_float32_matmul_precision("medium")
    try:
        assert arithmetic_of(CPU) != before
    finally:
        torch.set_float32_matmul_precision(medium)
        torch.backends.mkldnn.matmul.fp32_precision = precision
    assert arithmetic_of(CPU) == before


def test_arithmetic_of_a_gpu_includes_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    cuda = torch.device("cuda")
    before = arithmetic_of(cuda)
    assert before["device"] == "a GPU"
    assert before["cudnn"] == str(torch.backends.cudnn.version())
    for name in ("benchmark", "deterministic"):
        with monkeypatch.context() as patch:
            patch.setattr(torch.backends.cudnn, name, not getattr(torch.backends.cudnn, name))
            assert {key for key, value in arithmetic_of(cuda).items() if value != before[key]} == {f"cudnn.{name}"}
    matmul = torch.backends.cuda.matmul
    allowed = matmul.allow_tf32
    matmul.allow_tf32 = not allowed
    try:
        assert arithmetic_of(cuda) != before
    finally:
        matmul.allow_tf32 = allowed
    assert arithmetic_of(cuda) == before
