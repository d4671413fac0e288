from __future__ import annotations

import json

import numpy as np
import pytest

from harness.tuning.trial_record import FoldScores, pooled, trial_records


def fold(right: list[int], value: float = 0.5, losses: list[float] | None = None, number: int = 1) -> FoldScores:
    return FoldScores(
        fold=number,
        value=value,
        right=np.array(right, bool),
        losses=None if losses is None else np.array(losses),
        curve=(0.25, 0.5),
        seconds=1.5,
        loop_seconds=1.25,
        checkpoint="fold1.pt",
    )


def test_fold_scores_are_read_as_they_were_written() -> None:
    before = fold([1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1])
    after = FoldScores.from_plain(1, json.loads(json.dumps(before.to_plain())))
    assert after.right.tolist() == before.right.tolist()
    assert after.n == 11
    assert (after.value, after.curve, after.seconds, after.loop_seconds) == (0.5, (0.25, 0.5), 1.5, 1.25)
    assert after.scores.tolist() == before.right.astype(float).tolist()


def test_fold_scores_store_losses_to_four_percent() -> None:
    losses = [0.0005, 0.01, 0.3, 0.69, 2.3, 11.0]
    after = FoldScores.from_plain(1, fold([1] * 6, losses=losses).to_plain())
    assert after.losses is not None
    assert after.losses[1:] == pytest.approx(losses[1:], rel=0.04)
    assert after.losses[0] == pytest.approx(2.0**-10)  # smaller losses are stored as this one
    assert after.scores.mean() == pytest.approx(-0.5)  # the fold's value, which is not rounded
    assert after.scores == pytest.approx(-after.losses * 0.5 / after.losses.mean())
    assert fold([1, 1], 0.0, losses=[0.0, 0.0]).scores.tolist() == [0.0, 0.0]


def test_fold_scores_of_300000_images_fit_into_a_mysql_text_column() -> None:
    rng = np.random.default_rng(0)
    plain = fold((rng.random(300_000) < 0.9).astype(int).tolist()).to_plain()
    assert len(json.dumps(plain)) < 65_536


def test_pooled_weights_folds_by_their_images() -> None:
    assert pooled([fold([1, 1, 1], 1.0), fold([0], 0.0)]) == 0.75
    assert trial_records([]) == []
