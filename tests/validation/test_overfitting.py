"""CSCV against its definition, and what a rank of trials can and cannot tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import StatisticsError
from optim.validation.overfitting import probability_of_backtest_overfitting as pbo
from tests.validation import naive


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 61), st.integers(2, 7), st.sampled_from([2, 4, 6]))
def test_it_is_the_definition(seed: int, rows: int, columns: int, blocks: int) -> None:
    x = naive.noise(seed, rows, columns)
    logits, inside, outside = naive.cscv(x, blocks)
    found = pbo(x, blocks)
    assert found.n_splits == len(logits)
    assert sorted(found.logits) == pytest.approx(sorted(logits), abs=1e-9)
    assert sorted(found.in_sample) == pytest.approx(sorted(inside), rel=1e-9)
    assert sorted(found.out_of_sample) == pytest.approx(sorted(outside), rel=1e-9, abs=1e-12)
    assert found.pbo == sum(logit <= 1e-12 for logit in logits) / len(logits)
    assert found.probability_of_loss == sum(value < 0 for value in outside) / len(outside)
    if blocks > 2:
        assert found.slope == pytest.approx(np.polyfit(inside, outside, 1)[0], rel=1e-6)


def test_sixteen_blocks_have_12870_splits() -> None:
    found = pbo(naive.noise(0, 320, 3))
    assert found.n_splits == len(found.logits) == len(found.in_sample) == len(found.out_of_sample) == 12_870
    assert sum(found.winners.values()) == pytest.approx(1)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.permutations(range(5)), st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5))
def test_neither_the_order_nor_the_risk_of_trials_matters(seed: int, order: list[int], scale: list[float]) -> None:
    frame = pd.DataFrame(naive.noise(seed, 48, 5), columns=list("abcde"))
    found, other = pbo(frame, 6), pbo((frame * scale).iloc[:, order], 6)
    assert other.pbo == found.pbo
    assert other.winners == found.winners
    assert other.slope == pytest.approx(found.slope, rel=1e-6)
    np.testing.assert_allclose(other.logits, found.logits, atol=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_a_copy_of_a_trial_changes_nothing(seed: int, copied: int) -> None:
    x = naive.noise(seed, 48, 5)
    found, other = pbo(x, 6), pbo(np.column_stack([x, x[:, copied]]), 6)
    assert (other.pbo, other.slope, other.n_trials, other.winners) == (found.pbo, found.slope, 5, found.winners)


def test_levered_copies_share_their_rank() -> None:
    """Two trials of the same Sharpe ratio: each has rank 1.5 of 2, a relative rank of one half, a logit of 0."""
    x = naive.noise(1, 48, 1)
    found = pbo(np.column_stack([x, 3 * x]), 6)
    assert found.n_trials == 2
    np.testing.assert_array_equal(found.logits, 0.0)
    assert found.pbo == 1


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_a_flat_trial_never_wins_and_shifts_no_other(seed: int, place: int) -> None:
    x = naive.noise(seed, 48, 3) - 0.02  # all lose, so a Sharpe ratio of 0 would win
    frame = pd.DataFrame(np.insert(x, place, 0.001, axis=1), columns=list("abcd"))
    found = pbo(frame, 6)
    assert frame.columns[place] not in found.winners
    names = [name for name in "abcd" if name != frame.columns[place]]
    assert found.winners == pbo(pd.DataFrame(x, columns=names), 6).winners
    assert found.n_trials == 4
    assert (found.logits <= np.log(3 / 2) + 1e-12).all()  # the flat one is always better out of sample


def test_splits_without_a_winner_are_left_out() -> None:
    x = naive.noise(1, 40, 2)
    x[20:] = 0.0
    found = pbo(x, 4)  # blocks 2 and 3 in sample: nobody trades
    assert found.n_splits == 5
    assert np.isfinite(found.logits).all()


def test_noise_gives_one_half_and_a_real_edge_less() -> None:
    noise = [pbo(naive.noise(seed, 500, 20), 8).pbo for seed in range(60)]
    edge = [pbo(naive.noise(seed, 500, 20) + 0.003 * (np.arange(20) == 7), 8).pbo for seed in range(20)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.06)
    assert np.mean(edge) < 0.1


def test_it_does_not_see_that_all_trials_are_as_good() -> None:
    """Every trial has the same real edge: who wins is chance, however large the edge."""
    found = [pbo(naive.noise(seed, 500, 20) + 0.01, 8) for seed in range(30)]
    assert np.mean([one.pbo for one in found]) > 0.4
    assert max(one.probability_of_loss for one in found) == 0


@pytest.mark.parametrize(
    ("columns", "blocks", "says"),
    [
        (4, 5, "n_blocks must be even, but is 5"),
        (4, 22, "at most 20"),
        (4, 0, "at least 2"),
        (4, 4.5, "must be a whole number"),
        (4, 16, "31 periods cannot be cut into 16 blocks"),
        (1, 4, "fewer than two distinct trials"),
    ],
)
def test_what_cannot_be_split_is_refused(columns: int, blocks: int, says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        pbo(naive.noise(0, 31, columns), blocks)


def test_nothing_but_copies_or_flat_trials_is_refused() -> None:
    x = naive.noise(0, 40, 1)
    for returns in (x[:, [0, 0]], np.column_stack([np.zeros(40), np.ones(40)])):
        with pytest.raises(StatisticsError, match="fewer than two distinct trials that vary"):
            pbo(returns, 4)
