"""The stationary bootstrap: block lengths of a peer, draws and their exact law, how often an interval covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import StatisticsError
from optim.validation.bootstrap import (
    block_lengths,
    bootstrap_counts,
    drawn_sharpe_ratios,
    sharpe_confidence_interval,
    standard_errors,
)
from optim.validation.longrun import bootstrap_covariance, sharpe_influence
from tests.validation import naive

# optimal_block_length(series(rows, rho))["stationary"] of arch 8.0.0. It divides an autocovariance by the squares of
# one pair of periods too few, which at (60, 0.9) moves a correlation across the line: 8.314333, not 7.563461.
OF_ARCH = {
    (60, 0.0): 1.643417,
    (60, 0.3): 2.977013,
    (60, -0.4): 4.883673,
    (250, 0.0): 2.112966,
    (250, 0.3): 5.553391,
    (250, 0.9): 22.172836,
    (250, -0.4): 2.162631,
    (1000, 0.0): 1.760228,
    (1000, 0.3): 8.99295,
    (1000, 0.9): 45.197977,
    (1000, -0.4): 7.95284,
}


def series(rows: int, rho: float) -> np.ndarray:
    """An autoregression of the remainders of a cubic: the same on every machine."""
    t = np.arange(1, rows + 1)
    x = (t**3 * 7919 + t * 104729) % 10007 / 10007 - 0.5
    for i in range(1, rows):
        x[i] += rho * x[i - 1]
    return x


@pytest.mark.parametrize("case", OF_ARCH)
def test_block_lengths_are_those_of_arch(case: tuple[int, float]) -> None:
    assert round(float(block_lengths(series(*case)[:, None])[0]), 6) == OF_ARCH[case]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 300), st.floats(-0.9, 0.95))
def test_block_lengths_are_those_of_the_paper(seed: int, rows: int, rho: float) -> None:
    x = naive.autoregressive(seed, rows, 1, rho)
    assert block_lengths(x)[0] == pytest.approx(naive.block_length(x[:, 0]), rel=1e-6)


def test_every_column_has_its_own_block_length() -> None:
    x = np.column_stack([series(250, rho) for rho in (0.0, 0.3, 0.9, -0.4)])
    assert block_lengths(x) == pytest.approx([OF_ARCH[250, rho] for rho in (0.0, 0.3, 0.9, -0.4)], abs=1e-6)
    assert block_lengths(x * [1e-9, 1, 1e9, -1] + 5e-10) == pytest.approx(block_lengths(x), rel=1e-3)


@given(st.integers(0, 1000), st.integers(30, 200), st.floats(-0.9, 0.99))
def test_a_block_is_at_least_a_period_and_at_most_a_third(seed: int, rows: int, rho: float) -> None:
    lengths = block_lengths(np.column_stack([naive.autoregressive(seed, rows, 2, rho), np.ones(rows)]))
    assert (lengths >= 1).all()
    assert (lengths <= math.ceil(min(3 * math.sqrt(rows), rows / 3))).all()
    assert lengths[2] == 1


@given(st.integers(1, 100), st.floats(1, 50), st.integers(1, 30), st.integers(0, 1000))
def test_a_draw_is_as_long_as_the_data(rows: int, length: float, n_draws: int, seed: int) -> None:
    counts = bootstrap_counts(rows, length, n_draws, seed)
    assert counts.shape == (n_draws, rows)
    assert (counts.sum(axis=1) == rows).all()
    np.testing.assert_array_equal(counts, bootstrap_counts(rows, length, n_draws, seed))


def test_a_draw_walks_on_and_jumps_as_the_paper_has_it() -> None:
    """Politis and Romano's definition, period by period, with the same random numbers."""
    rows, length, draws = 7, 2.5, 40
    random = np.random.default_rng(5)
    jumps, starts = random.random((draws, rows)) < 1 / length, random.integers(rows, size=(draws, rows))
    expected = np.zeros((draws, rows))
    for draw in range(draws):
        period = starts[draw, 0]
        for step in range(rows):
            if step > 0:
                period = starts[draw, step] if jumps[draw, step] else (period + 1) % rows
            expected[draw, period] += 1
    np.testing.assert_array_equal(bootstrap_counts(rows, length, draws, 5), expected)


def test_endless_blocks_draw_every_period_once() -> None:
    np.testing.assert_array_equal(bootstrap_counts(50, 1e18, 10, 0), 1)


def test_draws_are_the_same_in_one_piece_and_in_many() -> None:
    """A piece holds a million periods: 3 draws of 400,000 are two pieces."""
    counts = bootstrap_counts(400_000, 5, 3, 0)
    assert (counts.sum(axis=1) == 400_000).all()
    assert counts.var(axis=1) == pytest.approx([1, 1, 1], abs=0.02)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(30, 70), st.floats(1, 20))
def test_the_exact_variance_is_hansens_sum(seed: int, rows: int, length: float) -> None:
    x = naive.autoregressive(seed, rows, 3, 0.4)
    expected = [naive.bootstrap_variance(column, length) for column in x.T]
    assert bootstrap_covariance(x, x, length) == pytest.approx(expected, rel=1e-9)
    assert standard_errors(x, length) == pytest.approx(np.sqrt(np.array(expected) / rows), rel=1e-9)
    sums = [naive.bootstrap_variance(column + x[:, 1], length) for column in x.T]  # polarisation
    cross = [(total - one - expected[1]) / 2 for total, one in zip(sums, expected, strict=True)]
    assert bootstrap_covariance(x, x[:, 1], length) == pytest.approx(cross, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("length", [1.0, 4.0, 15.0])
def test_draws_have_the_exact_variance(length: float) -> None:
    x = naive.autoregressive(1, 80, 1, 0.6)
    means = bootstrap_counts(80, length, 20_000, 2) @ x / 80
    assert means.mean() == pytest.approx(x.mean(), abs=4 * means.std() / math.sqrt(20_000))
    assert means.var() * 80 == pytest.approx(bootstrap_covariance(x, x, length)[0], rel=0.05)


def test_drawn_sharpe_ratios_are_those_of_the_periods_written_out() -> None:
    x = naive.noise(0, 40, 2)
    counts = bootstrap_counts(40, 3, 20, 0)
    for draw, found in zip(counts, drawn_sharpe_ratios(counts, x), strict=True):
        expected = [naive.sharpe(np.repeat(column, draw.astype(int))) for column in x.T]
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_influence_is_what_a_return_does_to_the_sharpe_ratio() -> None:
    """Its derivative with respect to the weight of one period, times T."""
    x = naive.noise(1, 50, 1) + 0.002
    influence, sharpe = sharpe_influence(x)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    assert sharpe[0] == pytest.approx(naive.sharpe(x[:, 0]))
    step = 1e-6
    for period in range(50):
        weight = np.full(50, (1 - step) / 50)
        weight[period] += step
        mean = weight @ x[:, 0]
        moved = mean / math.sqrt(weight @ (x[:, 0] - mean) ** 2)
        slope = (moved - sharpe[0] * math.sqrt(50 / 49)) / step
        assert slope == pytest.approx(influence[period, 0], rel=1e-3, abs=1e-4)


@given(st.integers(0, 100), st.floats(1e-6, 1e6))
@settings(max_examples=20)
def test_an_interval_has_no_scale(seed: int, scale: float) -> None:
    x = naive.noise(seed, 60, 1)[:, 0]
    found, other = (sharpe_confidence_interval(y, n_draws=200) for y in (x, x * scale))
    assert other == pytest.approx(found, rel=1e-6, abs=1e-9)
    assert found.lower < found.sharpe < found.upper


def test_more_confidence_is_a_wider_interval() -> None:
    x = naive.noise(0, 100, 1)[:, 0]
    widths = [sharpe_confidence_interval(x, level).upper for level in (0.5, 0.9, 0.95, 0.99)]
    assert widths == sorted(widths)


@pytest.mark.parametrize(("rho", "edge"), [(0.0, 0.0), (0.0, 0.002), (0.3, 0.0)])
def test_an_interval_of_95_percent_covers(rho: float, edge: float) -> None:
    covered = 0
    for seed in range(300):
        x = naive.autoregressive(seed, 400, 1, rho)[:, 0] + edge
        found = sharpe_confidence_interval(x, n_draws=300, seed=seed)
        covered += found.lower <= edge / 0.01 <= found.upper
    low, high = naive.wilson(covered, 300)
    assert low <= 0.95 <= high


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"confidence": 1.0}, "confidence must be"),
        ({"n_draws": 10}, "n_draws must be a number, at least 100"),
        ({"n_draws": 100.5}, "n_draws must be a whole number"),
        ({"block_length": 0.5}, "block_length must be a number, at least 1"),
        ({"block_length": 61}, "at most 60"),
    ],
)
def test_settings_out_of_range_are_refused(settings_: dict[str, float], says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        sharpe_confidence_interval(naive.noise(0, 60, 1)[:, 0], **settings_)  # type: ignore[arg-type]


def test_a_flat_series_has_no_interval() -> None:
    with pytest.raises(StatisticsError, match="do not vary"):
        sharpe_confidence_interval(np.full(60, 0.01))
