"""scripts/simulate with few repeats: the headline accuracy is unbiased, and that of a fold's best epoch is not."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "scripts/_simulate"
MODULES = ("world", "rows", "repeat", "markdown_table", "main", "search", "shares")
UNBIASED = ("easy", "hard", "patience", "best", "groups", "copies", "seeds", "coin-equal")


@pytest.fixture(scope="module")
def simulation() -> Iterator[Any]:
    """The modules of the script. Their names are in `sys.modules` only while these tests run."""
    threads = torch.get_num_threads()
    hidden: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
        torch.set_num_threads(threads)


def summaries(simulation: Any, name: str, repeats: int) -> dict[str, dict[str, float]]:
    """The numbers of a row, by the old rule and by the current rule."""
    results = simulation.main.run(simulation.rows.ROWS[name], repeats, 1, name)
    return {rule: simulation.main.summary([result[rule] for result in results]) for rule in ("old", "now")}


@pytest.mark.slow
def test_last_epoch_is_unbiased_and_best_epoch_is_not(simulation: Any) -> None:
    numbers = summaries(simulation, "hard", 20)
    now, old = numbers["now"], numbers["old"]
    assert abs(now["bias"]) < 3 * now["bias_error"]
    assert now["coverage"] >= 85
    assert 86 < now["truth"] < 92
    assert old["bias"] > 3 * old["bias_error"]
    assert old["bias"] > now["bias"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", UNBIASED)
def test_headline_is_unbiased_for_each_way_to_train(simulation: Any, name: str) -> None:
    numbers = summaries(simulation, name, 150)
    assert abs(numbers["now"]["bias"]) < 3 * numbers["now"]["bias_error"]
    # 4 standard errors below the coverage of 2,000 repeats
    assert numbers["now"]["coverage"] >= (80 if name == "coin-equal" else 89)
    assert numbers["old"]["bias"] > 3 * numbers["old"]["bias_error"]


@pytest.mark.slow
def test_run_returns_the_same_numbers_with_one_and_two_processes(simulation: Any) -> None:
    row = dataclasses.replace(simulation.rows.ROWS["hard"], epochs=2)
    assert simulation.main.run(row, 9, 2, "") == simulation.main.run(row, 9, 1, "")


def test_summary_has_points_and_percent(simulation: Any) -> None:
    estimate = simulation.repeat.Estimate
    found = simulation.main.summary([estimate(0.93, 0.90, 0.95, 0.91), estimate(0.90, 0.88, 0.94, 0.95)])
    assert found["truth"] == pytest.approx(93)
    assert found["bias"] == pytest.approx(-1.5)  # of +2 and -5
    assert found["bias_error"] == pytest.approx(3.5)
    assert found["coverage"] == 50
    assert found["width"] == pytest.approx(5.5)


def test_draw_shares_features_and_class_within_a_group(simulation: Any) -> None:
    world = simulation.world.World(2.0, shared=0.6)
    features, labels, groups = world.draw(20_000, torch.Generator().manual_seed(0), 5)
    assert groups.bincount().tolist() == [5] * 4000
    assert torch.equal(labels.view(-1, 5), labels[::5, None].expand(-1, 5))
    noise = features[:, simulation.world.SIGNAL].view(-1, 5)
    assert torch.corrcoef(noise.T)[0, 1].item() == pytest.approx(0.6, abs=0.05)
    distance = features[labels == 1].mean(0) - features[labels == 0].mean(0)
    assert distance.norm().item() == pytest.approx(2.0, abs=0.15)


def test_draw_gives_equally_many_of_each_label_if_asked(simulation: Any) -> None:
    world = simulation.rows.ROWS["coin-equal"].world
    _, labels, _ = world.draw(200, torch.Generator().manual_seed(0))
    _, others, _ = world.draw(200, torch.Generator().manual_seed(1))
    assert labels.bincount().tolist() == others.bincount().tolist() == [100, 100]
    assert (labels == others).float().mean().item() == pytest.approx(0.5, abs=0.15)


def test_main_refuses_an_unknown_row(
    simulation: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate", "esay"])
    with pytest.raises(SystemExit) as end:
        simulation.main.main()
    assert end.value.code == 2
    assert "there is no row esay; there are easy, hard" in capsys.readouterr().err


def test_main_prints_two_lines_per_row(
    simulation: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate", "coin", "--repeats", "2"])
    simulation.main.main()
    header, line, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("| row | n, folds, epochs | rule |")
    assert line.count("|") == header.count("|") == rows[0].count("|") == rows[1].count("|")
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| random labels", "200, 3, 15", "old"],
        ["| random labels", "200, 3, 15", "now"],
    ]


def test_search_finds_no_difference_between_equal_settings_and_less_luck(simulation: Any) -> None:
    found = simulation.search.summary(simulation.search.run(simulation.search.ROWS["same-1"], 12))
    assert found["false before"] >= 50 > 10 >= found["false now"]
    assert abs(found["error expected"]) < 0.5 * found["error before"]
    assert found["covers expected"] >= 90


def test_search_finds_worse_settings(simulation: Any) -> None:
    found = simulation.search.summary(simulation.search.run(simulation.search.ROWS["worse-4"], 6))
    assert found["found"] >= 60
    assert found["false now"] == 0


@pytest.mark.parametrize("name", ["pruned", "groups", "loss-pruned"])
def test_search_simulates_pruning_groups_and_the_loss(simulation: Any, name: str) -> None:
    outcomes = simulation.search.run(simulation.search.ROWS[name], 6)
    assert simulation.search.summary(outcomes)["false now"] <= 20
    assert (
        simulation.search.line(simulation.search.ROWS[name], outcomes).count("|") == len(simulation.search.COLUMNS) + 1
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["same", "same-1", "same-3", "same-30", "same-300", "same-98", "pruned-30", "noisy"])
def test_search_calls_equal_settings_different_in_at_most_5_percent(simulation: Any, name: str) -> None:
    found = simulation.search.summary(simulation.search.run(simulation.search.ROWS[name], 150))
    assert found["false now"] <= 9  # 5 plus three standard errors


def test_shares_are_significant_for_a_real_effect_and_rarely_for_noise(simulation: Any) -> None:
    noise, rate = simulation.shares.ROWS["noise"], simulation.shares.ROWS["rate"]
    found = [simulation.shares.study_of(row, number, 20) for row in (noise, rate) for number in range(10)]
    assert simulation.shares.summary(noise, found[:10], 20)["false"] <= 10
    of_rate = simulation.shares.summary(rate, found[10:], 20)
    assert of_rate["true"] >= 80
    assert of_rate["false"] <= 20
    assert simulation.shares.summary(noise, found[:10], 20)["before"] > 40  # by Optuna, of noise alone


def test_main_prints_the_tables_of_a_search(
    simulation: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, columns in ((["search", "same-3"], simulation.search), (["shares", "noise"], simulation.shares)):
        monkeypatch.setattr(sys, "argv", ["simulate", *arguments, "--repeats", "2"])
        simulation.main.main()
        header, line, *rows = capsys.readouterr().out.splitlines()
        assert header == f"| {' | '.join(columns.COLUMNS)} |"
        assert {row.count("|") for row in (line, *rows)} == {len(columns.COLUMNS) + 1}
