"""Inference on a winner: a peer's numbers, the law of a winner by simulation, and how often the intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import StatisticsError
from optim.validation.bootstrap import sharpe_confidence_interval
from optim.validation.selection import hybrid, truncation, winner_interval
from tests.validation import naive

ESTIMATES = np.array([0.3, 1.2, -0.4, 0.9, 1.0])
ROOT = np.array(
    [[1, 0, 0, 0, 0], [0.5, 0.9, 0, 0, 0], [0.2, 0.1, 1.1, 0, 0], [0.3, 1.6, 0.2, 0.8, 0], [0.1, 0.5, 0, 0.3, 0.7]]
)
COVARIANCE = 0.09 * ROOT @ ROOT.T
ENDS = (0.975, 0.5, 0.025)


def test_the_conditional_interval_of_the_peers_manual() -> None:
    """multiple-inference 1.2: RankCondition(arange(5), identity(5)).get_marginal_distribution("x4")."""
    solve = hybrid(4.0, 1.0, truncation(np.arange(5.0), np.eye(5)[4], 4), wide=50.0)
    assert [solve(end) for end in ENDS] == pytest.approx([0.06742731, 3.68627552, 5.93267239], abs=5e-9)


def test_a_winner_that_correlates_with_a_more_variable_trial() -> None:
    """multiple-inference 1.2, truncated on both sides; then with a projection interval of +- 1.01543244."""
    bounds = truncation(ESTIMATES, COVARIANCE[1], 1)
    assert bounds == pytest.approx((0.82142857, 1.8), abs=5e-9)
    spread = float(np.sqrt(COVARIANCE[1, 1]))
    solve = hybrid(1.2, spread, bounds, wide=50 * spread)
    assert [solve(end) for end in ENDS] == pytest.approx([0.17629806, 1.15152502, 1.94044926], abs=5e-8)
    solve = hybrid(1.2, spread, bounds, wide=1.0154324401455385)
    assert [solve(end) for end in ENDS] == pytest.approx([0.28464713, 1.15152502, 1.9328094], abs=5e-8)


def test_between_the_bounds_it_wins_and_outside_it_does_not() -> None:
    """What is independent of the winner's estimate is held fixed, the estimate is moved."""
    low, high = truncation(ESTIMATES, COVARIANCE[1], 1)
    slope = COVARIANCE[1] / COVARIANCE[1, 1]
    for moved, wins in ((low - 1e-6, False), (low + 1e-6, True), (high - 1e-6, True), (high + 1e-6, False)):
        assert (int((ESTIMATES + slope * (moved - 1.2)).argmax()) == 1) is wins


def test_the_law_of_a_winner_by_simulation() -> None:
    """At the solution the share of winners with a lower estimate, and the same remainder, is the one asked for."""
    bounds, spread = truncation(ESTIMATES, COVARIANCE[1], 1), float(np.sqrt(COVARIANCE[1, 1]))
    solve = hybrid(1.2, spread, bounds, wide=50.0)
    drawn = np.random.default_rng(0).normal(0, spread, 400_000)
    for end in (0.9, 0.5, 0.1):
        estimates = solve(end) + drawn
        won = estimates[(estimates > bounds[0]) & (estimates < bounds[1])]
        assert float((won <= 1.2).mean()) == pytest.approx(end, abs=0.005)


@settings(max_examples=40)
@given(st.floats(-3, 3), st.floats(1e-9, 5), st.floats(0, 5), st.floats(1e-3, 10))
def test_the_solution_lies_in_the_projection_interval_and_falls(
    top: float, under: float, over: float, spread: float
) -> None:
    solve = hybrid(top, spread, (top - under, top + over), wide=4 * spread)
    found = [solve(end) for end in ENDS]
    assert found == sorted(found)
    assert all(top - 4.0001 * spread <= value <= top + 4.0001 * spread for value in found)


def test_intervals_cover_where_the_naive_one_does_not() -> None:
    """Fifty trials without an edge: the interval that ignores the choice covers three times in ten."""
    hits = dict.fromkeys(("hybrid", "projection", "naive", "too high"), 0)
    for seed in range(250):
        found = winner_interval(naive.noise(seed, 250, 50), n_draws=200, seed=seed)
        hits["hybrid"] += found.lower <= 0 <= found.upper
        hits["projection"] += found.projection_lower <= 0 <= found.projection_upper
        hits["naive"] += found.naive_lower <= 0 <= found.naive_upper
        hits["too high"] += found.estimate > 0
    assert naive.wilson(hits["hybrid"], 250)[1] >= 0.95
    assert naive.wilson(hits["projection"], 250)[1] >= 0.95
    assert 0.2 < hits["naive"] / 250 < 0.4
    low, high = naive.wilson(hits["too high"], 250)
    assert low <= 0.5 <= high


def test_intervals_cover_a_true_edge() -> None:
    covered = 0
    for seed in range(200):
        edge = 0.001 * np.arange(10) / 3
        found = winner_interval(naive.noise(seed, 300, 10) + edge, n_draws=200, seed=seed)
        covered += found.lower <= edge[int(found.winner)] / 0.01 <= found.upper  # type: ignore[call-overload]
    assert naive.wilson(covered, 200)[0] <= 0.95 <= naive.wilson(covered, 200)[1]


def test_a_clear_winner_keeps_its_sharpe_ratio() -> None:
    x = naive.noise(1, 500, 8)
    x[:, 3] += 0.01
    found = winner_interval(x)
    assert found.winner == 3
    assert found.estimate == pytest.approx(found.sharpe, abs=1e-3)
    assert found.lower == pytest.approx(found.naive_lower, abs=0.01)
    assert found.upper == pytest.approx(found.naive_upper, abs=0.01)


def test_a_single_trial_was_not_chosen() -> None:
    x = naive.noise(1, 500, 1)
    found, alone = winner_interval(x, n_draws=5000), sharpe_confidence_interval(x[:, 0], n_draws=5000)
    assert found.n_trials == 1
    assert found.estimate == pytest.approx(found.sharpe, abs=1e-9)
    assert (found.projection_lower, found.projection_upper) == pytest.approx((alone.lower, alone.upper), abs=0.005)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.permutations(list("abcde")), st.lists(st.floats(0.01, 100), min_size=5, max_size=5))
def test_neither_the_order_nor_the_risk_of_trials_matters(seed: int, order: list[str], scale: list[float]) -> None:
    frame = pd.DataFrame(naive.noise(seed, 60, 5), columns=list("abcde"))
    one, two = winner_interval(frame, n_draws=100), winner_interval((frame * scale)[order], n_draws=100)
    assert two.winner == one.winner
    assert two[2:] == pytest.approx(one[2:], rel=1e-6, abs=1e-8)


def test_copies_and_flat_trials_are_not_trials() -> None:
    frame = pd.DataFrame(naive.noise(2, 60, 5) - 0.02, columns=list("abcde"))
    found = winner_interval(frame, n_draws=100)
    assert winner_interval(frame.assign(copy=frame["a"], flat=0.0), n_draws=100) == found
    levered = winner_interval(frame.assign(levered=3 * frame[found.winner]), n_draws=100)
    assert (levered.lower, levered.upper) == pytest.approx((found.lower, found.upper), rel=0.05)


def test_against_a_benchmark_it_is_the_excess() -> None:
    frame = pd.DataFrame(naive.noise(2, 60, 4), columns=["market", "a", "b", "c"])
    found = winner_interval(frame, "market", n_draws=100)
    excess = frame[["a", "b", "c"]].sub(frame["market"], axis=0)
    assert found == winner_interval(excess, n_draws=100)
    assert found.sharpe == pytest.approx(max(naive.sharpe(excess[name].to_numpy()) for name in "abc"))


def test_no_trial_that_varies_is_refused() -> None:
    with pytest.raises(StatisticsError, match="there is no winner"):
        winner_interval(np.zeros((60, 3)))
    with pytest.raises(StatisticsError, match="is no column"):
        winner_interval(naive.noise(0, 60, 3), "market")
    with pytest.raises(StatisticsError, match="confidence must be"):
        winner_interval(naive.noise(0, 60, 3), confidence=95)
