"""Whether an edit is detected. Reproduces reports about caches that did not detect one."""

from __future__ import annotations

import functools
import textwrap
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.models.code_identity import UnknownCodeError, identity_of, version_of
from harness.models.digest import digest
from harness.models.freezing import freeze
from harness.models.prefix import CannotCutError, cut

SOURCE = """
    import torch
    from functools import partial, lru_cache
    FACTOR = 2.0
    def helper(x, power=2): return x ** power
    def scale(x):
        return helper(x) * FACTOR
    def made(by):
        return lambda x: x * by
    closed = made(3)
    part = partial(helper, power=3)
    quiet = torch.no_grad()(scale)
    cached = lru_cache(helper)
    class Sizes:
        side = 4
        def area(self): return self.side ** 2
    def sized(x): return x * Sizes().area()
    def again(x): return again(x - 1) if x else 0
"""


def module_of(source: str) -> ModuleType:
    """Returns a user's module with that source."""
    module = ModuleType("users_own")
    exec(compile(textwrap.dedent(source), str(Path("users_own.py").absolute()), "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(
    ("name", "old", "changed"),
    [
        ("scale", "* FACTOR", "+ FACTOR"),
        ("scale", "FACTOR = 2.0", "FACTOR = 2.5"),
        ("scale", "x ** power", "x + power"),
        ("scale", "power=2", "power=4"),
        ("closed", "made(3)", "made(4)"),
        ("closed", "x * by", "x + by"),
        ("part", "power=3", "power=5"),
        ("quiet", "* FACTOR", "+ FACTOR"),
        ("cached", "x ** power", "x + power"),
        ("sized", "side = 4", "side = 5"),
        ("sized", "self.side ** 2", "self.side ** 3"),
        ("again", "x - 1", "x - 2"),
    ],
)
def test_identity_of_changes_with_everything_a_function_depends_on(name: str, old: str, changed: str) -> None:
    """https://github.com/streamlit/streamlit/pull/2798, https://github.com/numba/numba/pull/8359"""
    assert old in SOURCE
    identity = identity_of(getattr(module_of(SOURCE), name))
    assert identity == identity_of(getattr(module_of("# a comment\n\n" + textwrap.dedent(SOURCE)), name))
    assert identity != identity_of(getattr(module_of(SOURCE.replace(old, changed)), name))


def test_identity_of_refuses_values_that_cannot_be_read() -> None:
    module = module_of("class Thing: pass\nthing = Thing()\ndef uses(x): return x * thing.size")
    with pytest.raises(UnknownCodeError, match=r"^an object of users_own.Thing$"):
        identity_of(module.uses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        compiled = torch.jit.script(doubled)
    with pytest.raises(UnknownCodeError):
        identity_of(compiled)
    assert version_of(__name__) is None
    assert version_of("torch.nn.functional") == f"torch {metadata.version('torch')}"
    assert identity_of(nn.functional.relu) != identity_of(nn.functional.gelu)


def doubled(x: Tensor) -> Tensor:
    return 2 * x


def wrapped(text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that is traced as one step, because of `torch.fx.wrap`."""
    function = module_of(text).step
    monkeypatch.setattr(f"{__name__}.step", function)
    return function


def step(x: Tensor) -> Tensor:
    return x


torch.fx.wrap("step")
SCALE = 1.0


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.act(step(self.body(images))).mean((2, 3)) * SCALE)
        return logits


def digest_of(**changes: Any) -> str:
    torch.manual_seed(0)
    model = Wrapped()
    for name, value in changes.items():
        setattr(model.act, name, value)
    freeze(model, True)
    return digest(cut(model, (3, 16, 16)).prefix)


def test_digest_depends_on_the_code_of_a_wrapped_function(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for text in ("def step(x): return x * 2", "def step(x): return x * 3", "def step(x): return x * 2  # same"):
        wrapped(text, monkeypatch)
        digests.append(digest_of())
    assert digests[0] == digests[2] != digests[1]
    wrapped("class O: pass\no = O()\no.by = 2\ndef step(x): return x * o.by", monkeypatch)
    with pytest.raises(
        CannotCutError, match=r"it is not known whether its code has changed: an object of users_own\.O"
    ):
        digest_of()


def test_digest_depends_on_constants_and_attributes_of_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = digest_of()
    digests = {
        plain,
        digest_of(forward=functools.partial(torch.mul, torch.tensor(2.0))),
        digest_of(forward=doubled),
        digest_of(forward=torch.relu),
        digest_of(table=torch.ones(3)),
        digest_of(table=torch.zeros(3)),
        digest_of(options={"by": 1}),
        digest_of(options={"by": 2}),
    }
    monkeypatch.setattr(f"{__name__}.SCALE", 2.0)
    assert len({*digests, digest_of()}) == 9
    monkeypatch.undo()
    assert digest_of() == plain


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + weight.flip(3)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_digest_depends_on_unsaved_buffers_and_parametrizations() -> None:
    def of(kind: type[nn.Module], value: float) -> str:
        torch.manual_seed(0)
        model = Wrapped()
        model.body.register_buffer("extra", torch.full((2,), value), persistent=False)
        nn.utils.parametrize.register_parametrization(model.body, "weight", kind())
        model.requires_grad_(False)
        model.head.requires_grad_(True)
        model.body.eval()
        freeze(model, True)
        return digest(cut(model, (3, 16, 16)).prefix)

    assert len({of(Symmetric, 1), of(Symmetric, 2), of(Doubled, 1)}) == 3
    assert of(Doubled, 1) == of(Doubled, 1)


def test_cut_refuses_a_hook_for_all_modules() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(CannotCutError, match="a hook"):
            digest_of()
    finally:
        handle.remove()
