from __future__ import annotations

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.engine import checkpoint
from harness.engine.callbacks import ModelCheckpoint
from harness.engine.shared_weights import SharedWeights, digest_of, frozen_weights, give_back, take_over
from harness.engine.trainer import Callback, State, Trainer
from harness.errors import ModelError

SIZE = 100_000  # minimum bytes of the frozen layers
BATCHES = [(torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2)]


def net(seed: int = 0, frozen: bool = True) -> nn.Sequential:
    """Returns a body of two layers, one with running statistics, and a head."""
    torch.manual_seed(seed)
    body = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), wide=nn.Conv2d(4, 1000, 6)))
    model = nn.Sequential(OrderedDict(body=body, flat=nn.Flatten(), head=nn.Linear(1000, 2)))
    if frozen:
        body.eval().requires_grad_(False)
        body.train = lambda mode=True: body  # type: ignore[method-assign, assignment]
    return model


def fitted(folder: Path, name: str, model: nn.Module, *more: Callback, share: bool = True) -> dict[str, Tensor]:
    """Trains for two epochs. Returns the weights of the trained model."""
    saver = ModelCheckpoint(folder / name, content={"fold": 1}, shared=SharedWeights(folder) if share else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(nn.CrossEntropyLoss(), [*more, saver]).fit(model, optimizer, BATCHES, BATCHES, 2)
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in other)


def test_shared_weights_are_written_once_for_all_folds(tmp_path: Path) -> None:
    weights = {name: fitted(tmp_path, name, net()) for name in ("fold1.pt", "fold2.pt")}
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.pop("shared.pt") > SIZE
    assert max(sizes.values()) < SIZE
    assert sorted(sizes) == ["fold1.pt", "fold2.pt"]
    for name, own in weights.items():
        assert same(checkpoint.load(tmp_path / name)["model"], own)


def test_shared_weights_write_no_file_for_a_model_without_frozen_layers(tmp_path: Path) -> None:
    own = fitted(tmp_path, "fold1.pt", net(frozen=False))
    assert [path.name for path in tmp_path.iterdir()] == ["fold1.pt"]
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)


def test_without_keeps_unfrozen_and_differing_weights(tmp_path: Path) -> None:
    class Unfreeze(Callback):
        def on_epoch_start(self, state: State) -> None:
            state.model.get_submodule("body.conv").requires_grad_(True)
            state.optimizer.param_groups[0]["lr"] = 0.5

    class Writes(Callback):
        def on_epoch_end(self, state: State) -> None:
            state.model.get_parameter("body.norm.weight").data.mul_(2.0)  # the version counter does not change
            narrow = state.model.get_parameter(
                "body.norm.bias"
            ).data  # no version change here either, and the sum stays the same
            narrow.copy_(torch.arange(4.0).roll(state.epoch))

    model = net()
    model.get_parameter("body.norm.bias").data.copy_(torch.arange(4.0))
    own = fitted(tmp_path, "fold1.pt", model, Unfreeze(), Writes())
    other = fitted(tmp_path, "fold2.pt", net(seed=1))
    kept = checkpoint.read(tmp_path / "fold1.pt")["model"]
    assert kept["body.conv.weight"] is not None
    assert kept["body.norm.weight"] is not None
    assert kept["body.norm.bias"] is not None
    assert kept["body.wide.weight"] is None
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)
    assert same(checkpoint.load(tmp_path / "fold2.pt")["model"], other)


def test_without_keeps_running_statistics_that_change(tmp_path: Path) -> None:
    model = net()
    del model.get_submodule("body").train  # now model.train() applies: frozen weights, changing statistics
    own = fitted(tmp_path, "fold1.pt", model)
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)
    assert checkpoint.read(tmp_path / "fold1.pt")["model"]["body.norm.running_mean"] is not None


def test_load_names_the_missing_file_of_shared_weights(tmp_path: Path) -> None:
    fitted(tmp_path / "run", "fold1.pt", net())
    fitted(tmp_path / "other", "fold1.pt", net(seed=1))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / "run/fold1.pt", alone)
    with pytest.raises(ModelError, match=r"shared\.pt is not there"):
        checkpoint.load(alone / "fold1.pt")
    shutil.copy(tmp_path / "other/shared.pt", alone)
    with pytest.raises(ModelError, match="holds other weights"):
        checkpoint.load(alone / "fold1.pt")
    (alone / "shared.pt").unlink()
    (alone / "shared.pt").symlink_to(tmp_path / "run/shared.pt")
    with pytest.raises(ModelError, match="a link to a place outside the folder"):
        checkpoint.load(alone / "fold1.pt")


def test_whole_returns_a_file_that_needs_no_other(tmp_path: Path) -> None:
    own = fitted(tmp_path / "run", "fold1.pt", net())
    content = checkpoint.whole(tmp_path / "run/fold1.pt")
    assert content == checkpoint.whole(tmp_path / "run/fold1.pt")  # the bytes identify a champion
    (tmp_path / "alone.pt").write_bytes(content)
    loaded = checkpoint.load(tmp_path / "alone.pt")
    assert same(loaded["model"], own)
    assert loaded["fold"] == 1
    assert checkpoint.whole(tmp_path / "alone.pt") == content
    torch.save({"shared": torch.ones(2)}, tmp_path / "foreign.pt")  # a weight of a model from another program
    assert checkpoint.whole(tmp_path / "foreign.pt") == (tmp_path / "foreign.pt").read_bytes()


def test_add_keeps_the_weights_in_the_shared_file(tmp_path: Path) -> None:
    own = fitted(tmp_path, "fold1.pt", net())
    checkpoint.add(tmp_path / "fold1.pt", temperature=2.0)
    assert (tmp_path / "fold1.pt").stat().st_size < SIZE
    loaded = checkpoint.load(tmp_path / "fold1.pt")
    assert same(loaded["model"], own)
    assert loaded["temperature"] == 2.0


def test_take_over_and_give_back_move_the_shared_weights(tmp_path: Path) -> None:
    own = fitted(tmp_path, "fold1.pt", net())
    refit = fitted(tmp_path, "model.pt", net(), share=False)
    take_over(tmp_path, temperature=2.0)
    assert {path.name for path in tmp_path.iterdir()} == {"fold1.pt", "model.pt"}
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)
    assert checkpoint.load(tmp_path / "model.pt")["temperature"] == 2.0
    shutil.copy(tmp_path / "model.pt", tmp_path / "alone.pt")
    assert same(checkpoint.load(tmp_path / "alone.pt")["model"], refit)
    (tmp_path / "alone.pt").unlink()

    give_back(tmp_path)  # a second refit starts
    fitted(tmp_path, "model.pt", net(seed=1), share=False)
    take_over(tmp_path)  # its body has other weights
    assert {path.name for path in tmp_path.iterdir()} == {"fold1.pt", "model.pt", "shared.pt"}
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)


def test_shared_weights_replace_a_damaged_file(tmp_path: Path) -> None:
    own = fitted(tmp_path, "fold1.pt", net())
    content = (tmp_path / "shared.pt").read_bytes()
    (tmp_path / "shared.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.load(tmp_path / "fold1.pt")
    fitted(tmp_path, "fold2.pt", net())
    assert same(checkpoint.load(tmp_path / "fold1.pt")["model"], own)


def test_frozen_weights_returns_only_weights_of_the_state_dict() -> None:
    model = net()
    assert {name.partition(".")[0] for name in frozen_weights(model)} == {"body"}
    assert set(frozen_weights(model)) == {name for name in model.state_dict() if name.startswith("body.")}
    assert frozen_weights(net(frozen=False)) == {}


def test_digest_of_depends_on_content_names_shapes_and_dtypes() -> None:
    one = torch.arange(6.0)
    changed = one.clone()
    changed[5] += 1e-6
    states = [{"a": one}, {"b": one}, {"a": one.reshape(2, 3)}, {"a": one.double()}, {"a": changed}]
    assert len({digest_of(state) for state in states}) == 5
    assert digest_of({"a": one, "b": changed}) == digest_of({"b": changed, "a": one})


def test_save_stores_only_the_part_of_a_view(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.pt", {"part": torch.zeros(100_000, 8)[:, 0]})
    assert (tmp_path / "x.pt").stat().st_size < 500_000
