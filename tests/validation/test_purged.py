"""Combinatorial purged cross-validation: the book's counts, a twin by loops, and noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import StatisticsError
from optim.validation.purged import combinatorial_paths


def test_the_books_counts() -> None:
    """Chapter 12: six groups, two of them tested: fifteen splits, five paths."""
    found = combinatorial_paths(np.random.default_rng(0).normal(size=(120, 4)))
    assert (found.n_splits, found.n_paths, len(found.sharpe_ratios)) == (15, 5, 5)
    for n, k in ((5, 1), (8, 3), (10, 5)):
        found = combinatorial_paths(np.random.default_rng(0).normal(size=(120, 4)), n, k)
        assert found.n_splits == math.comb(n, k)
        assert len(found.sharpe_ratios) == found.n_paths == math.comb(n - 1, k - 1)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 999),
    n=st.integers(2, 6),
    k=st.integers(1, 5),
    purge=st.integers(0, 6),
    embargo=st.integers(0, 6),
    rows=st.integers(60, 90),
)
def test_a_twin_by_loops(seed: int, n: int, k: int, purge: int, embargo: int, rows: int) -> None:
    k = min(k, n - 1)
    returns = np.random.default_rng(seed).normal(size=(rows, 5))
    edges = [int(rows * g / n) for g in range(n + 1)]
    paths: dict[int, list[tuple[int, list[float]]]] = {}
    counted = dict.fromkeys(range(n), 0)
    for test in itertools.combinations(range(n), k):
        out = set()
        for g in test:
            out |= set(range(edges[g] - purge, edges[g + 1] + embargo))
        rest = [t for t in range(rows) if t not in out]
        if len(rest) < 3:
            return
        ratios = [returns[rest, j].mean() / returns[rest, j].std(ddof=1) for j in range(5)]
        best = int(np.argmax(ratios))
        for g in test:
            paths.setdefault(counted[g], []).append((g, returns[edges[g] : edges[g + 1], best].tolist()))
            counted[g] += 1
    expected = []
    for parts in paths.values():
        whole = np.concatenate([part for _, part in sorted(parts)])
        expected.append(whole.mean() / whole.std(ddof=1))
    found = combinatorial_paths(returns, n, k, purge, embargo)
    np.testing.assert_allclose(found.sharpe_ratios, expected, rtol=1e-9)
    assert sum(found.winners.values()) == found.n_splits


def test_noise_earns_nothing_on_the_paths_and_an_edge_does() -> None:
    """Two hundred sets of twenty trials: the mean path of noise is 0 within four standard errors, an edge's its own."""
    rng = np.random.default_rng(5)
    noise, edge = [], []
    for _ in range(200):
        returns = rng.normal(size=(300, 20))
        noise.append(np.mean(combinatorial_paths(returns).sharpe_ratios))
        returns[:, 3] += 0.3
        edge.append(np.mean(combinatorial_paths(returns).sharpe_ratios))
    assert abs(np.mean(noise)) < 4 * np.std(noise) / math.sqrt(200) + 0.01
    assert np.mean(edge) > 0.25


def test_settings_out_of_range_are_refused() -> None:
    returns = np.random.default_rng(0).normal(size=(60, 3))
    for wrong in ({"n_groups": 1}, {"n_test": 6}, {"n_test": 0}, {"purge": -1}):
        with pytest.raises(StatisticsError):
            combinatorial_paths(returns, **wrong)
    with pytest.raises(StatisticsError, match="fewer than two periods"):
        combinatorial_paths(returns, 2, 1, purge=60, embargo=60)
    with pytest.raises(StatisticsError, match="flat where a split chooses"):
        combinatorial_paths(np.zeros((60, 3)))
