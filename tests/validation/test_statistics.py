"""The closed forms against the numbers of their papers, exact arithmetic and what they promise about dependence."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis, skew

from optim.errors import StatisticsError
from optim.validation.haircut import adjusted_p_values
from optim.validation.longrun import long_run_variance
from optim.validation.statistics import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    haircut_sharpe,
    long_run_probabilistic_sharpe_ratio,
    min_backtest_length,
    min_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    required_sharpe,
    sharpe_ratio,
    sharpe_ratios,
)
from tests.validation import naive

MONTHS, DAYS = 12, 250
FUND = {"skew": -2.448, "kurtosis": 10.164}  # the hedge fund of the first paper

small = st.floats(-0.5, 0.5)
some = st.floats(1e-4, 0.5)


def test_probabilistic_sharpe_ratio_of_the_paper() -> None:
    assert round(probabilistic_sharpe_ratio(1.585 / math.sqrt(MONTHS), 0, 24, **FUND), 3) == 0.913


def test_the_variance_of_a_sharpe_ratio_of_another_paper() -> None:
    """The working paper SSRN 5520741: the same variance of an estimate, but its test takes the one under H0.

    Two equally likely returns have kurtosis 1: their formula gives the variance under H0. n counts one more.
    """
    sr = 0.036 / 0.079
    z = naive.NORMAL.inv_cdf(probabilistic_sharpe_ratio(sr, 0, 25, **FUND))
    assert round(sr / z, 3) == 0.329
    assert round(probabilistic_sharpe_ratio(sr, 0, 25, 0, 1), 3) == 0.987
    assert round(min_track_record_length(sr, 0, 0, 1) - 1, 3) == 13.029


def test_track_record_length_of_the_paper() -> None:
    for year in (250, 252):
        root = math.sqrt(year)
        assert round(min_track_record_length(2 / root, 1 / root, 0, 3) / year, 2) == 2.73


@pytest.mark.parametrize(
    ("n_trials", "year", "skewness", "kurt", "expected"),
    [(100, DAYS, -3, 10, 0.9004), (100, 252, -3, 10, 0.8997), (46, DAYS, -3, 10, 0.9505), (88, DAYS, 0, 3, 0.9505)],
)
def test_deflated_sharpe_ratio_of_the_paper(
    n_trials: int, year: int, skewness: float, kurt: float, expected: float
) -> None:
    dsr = deflated_sharpe_ratio(2.5 / math.sqrt(year), 1250, n_trials, 0.5 / year, skewness, kurt)
    assert round(dsr, 4) == expected


def test_what_luck_would_have_shown_in_the_paper() -> None:
    assert round(math.sqrt(0.5 / DAYS) * expected_maximum_sharpe(100), 4) == 0.1132


@pytest.mark.parametrize(
    ("n_trials", "approximate", "exact"),
    [(2, 0.5198, 0.5642), (10, 1.5746, 1.5388), (100, 2.5306, 2.5076), (1000, 3.2551, 3.2414)],
)
def test_expected_maximum_and_the_integral_it_approximates(n_trials: int, approximate: float, exact: float) -> None:
    x = np.linspace(-9, 9, 20_001)
    cdf = np.array([naive.NORMAL.cdf(value) for value in x])
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    integral = float(np.trapezoid(x * n_trials * cdf ** (n_trials - 1) * density, x))
    assert round(integral, 4) == exact
    assert round(expected_maximum_sharpe(n_trials), 4) == approximate
    assert abs(approximate - exact) < 0.05


def test_backtest_length_of_the_paper() -> None:
    assert round(expected_maximum_sharpe(10), 2) == 1.57
    assert round(min_backtest_length(45, 1), 2) == 5.0


def test_one_trial_leaves_nothing_to_choose() -> None:
    assert expected_maximum_sharpe(1) == 0
    assert min_backtest_length(1, 1) == 0
    assert deflated_sharpe_ratio(0.1, 250, 1, 0.01, 0, 3) == probabilistic_sharpe_ratio(0.1, 0, 250, 0, 3)


def harvey_liu_p_values(seed: int, tests: int) -> np.ndarray:
    """p-values of tests nobody reported, as the paper's program draws them (Harvey, Liu & Zhu 2016, RHO = .4)."""
    random, months, sigma = np.random.default_rng(seed), 240, 0.15 / math.sqrt(12)
    false, mean, correlation, deviation = 0.48604, 0.0055413, 0.4, sigma / math.sqrt(months)
    steps = np.abs(np.subtract.outer(np.arange(tests), np.arange(tests)))
    shock = deviation * np.linalg.cholesky(np.where(steps == 0, 1.0, correlation)) @ random.standard_normal(tests)
    true = np.where(random.random(tests) > false, random.exponential(mean, tests), 0.0)
    return np.array([2 * naive.NORMAL.cdf(-abs(t)) for t in (true + shock) / deviation])


def test_haircut_of_the_paper() -> None:
    """120 months, annual Sharpe ratio 1, autocorrelation .1, 100 tests."""
    rho = 0.1
    lower = 1 + 2 * rho / (1 - rho) * (1 - (1 - rho**12) / (12 * (1 - rho)))
    (alone,) = haircut_sharpe({"fund": 1 / math.sqrt(lower * 12)}, 120).values()
    adjusted: dict[str, list[float]] = {"bonferroni": [], "holm": [], "bhy": []}
    for seed in range(2000):  # as many as the paper
        others = harvey_liu_p_values(seed, 100).tolist()
        for method, found in adjusted.items():
            tests = others[:-1] if method == "bonferroni" else others  # the program counts the fund itself on top
            found.append(float(adjusted_p_values([alone.p_value, *tests], method)[0]))
    assert round(statistics.median(adjusted["bonferroni"]), 3) == 0.465
    assert statistics.median(adjusted["holm"]) == pytest.approx(0.409, abs=0.01)
    assert statistics.median(adjusted["bhy"]) == pytest.approx(0.174, abs=0.01)


def test_profit_hurdle_of_the_paper() -> None:
    """300 tests, 240 months, volatility 10 %: per cent a month."""
    assert round(10 / math.sqrt(12) * required_sharpe(240, 1), 3) == 0.365
    assert round(10 / math.sqrt(12) * required_sharpe(240, 300), 3) == 0.702


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12, unique=True))
def test_adjusted_p_values_are_those_of_the_procedures(p: list[float]) -> None:
    assert adjusted_p_values(p, "bonferroni") == pytest.approx([min(1, len(p) * value) for value in p], rel=1e-12)
    assert adjusted_p_values(p, "holm") == pytest.approx(naive.holm(p), rel=1e-12)
    assert adjusted_p_values(p, "bhy") == pytest.approx(naive.bhy(p), rel=1e-12)


@given(st.dictionaries(st.text(max_size=3), small, min_size=1, max_size=8), st.sampled_from(["bonferroni", "holm"]))
def test_a_haircut_takes_and_never_gives(sharpes: dict[str, float], method: str) -> None:
    cut = haircut_sharpe(sharpes, 120, method)
    assert list(cut) == list(sharpes)
    for name, row in cut.items():
        assert row.sharpe == sharpes[name]
        assert row.p_value <= row.adjusted_p_value <= 1
        assert abs(row.adjusted_sharpe) <= abs(row.sharpe) + 1e-9


def test_a_flat_trial_is_a_test_without_evidence() -> None:
    cut = haircut_sharpe({"flat": math.nan, "good": 0.3}, 120, "bonferroni")
    assert cut["flat"].adjusted_p_value == 1
    assert cut["flat"].adjusted_sharpe == 0
    assert cut["good"].adjusted_p_value == pytest.approx(2 * cut["good"].p_value)


@given(st.lists(st.integers(-10_000, 10_000), min_size=30, max_size=60).filter(lambda x: len(set(x)) > 1))
def test_moments_are_those_of_exact_arithmetic(steps: list[int]) -> None:
    exact = [Fraction(step, 100_000) for step in steps]
    found = moments([float(value) for value in exact])
    mean = sum(exact, Fraction(0)) / len(exact)
    squares, cubes, fourths = (sum((value - mean) ** k for value in exact) / len(exact) for k in (2, 3, 4))
    assert found.n == len(exact)
    assert found.sharpe == pytest.approx(float(mean) / statistics.stdev(map(float, exact)), rel=1e-9, abs=1e-12)
    assert found.skew == pytest.approx(float(cubes) / float(squares) ** 1.5, rel=1e-9, abs=1e-9)
    assert found.kurtosis == pytest.approx(float(fourths / squares**2), rel=1e-9)


def test_moments_are_those_of_scipy() -> None:
    x = naive.noise(1, 400, 1)[:, 0]
    assert moments(x).skew == pytest.approx(float(skew(x)), rel=1e-10)
    assert moments(x).kurtosis == pytest.approx(float(kurtosis(x, fisher=False)), rel=1e-10)


@given(st.integers(0, 50), st.floats(1e-150, 1e90))
def test_a_sharpe_ratio_has_no_scale(seed: int, scale: float) -> None:
    x = naive.noise(seed, 40, 1)[:, 0]
    assert sharpe_ratio(x * scale) == pytest.approx(sharpe_ratio(x), rel=1e-9)
    assert sharpe_ratio(-x) == pytest.approx(-sharpe_ratio(x), rel=1e-9)


def test_flat_returns_have_no_sharpe_ratio() -> None:
    flat = np.full(100, 0.001)
    for returns in (flat, flat * 0, 1.0001 ** np.arange(101.0)[1:] / 1.0001 ** np.arange(100.0) - 1):
        assert math.isnan(sharpe_ratio(returns))
        assert math.isnan(long_run_probabilistic_sharpe_ratio(returns))
    found = sharpe_ratios(np.column_stack([flat, naive.noise(0, 100, 1)]), ["flat", "noise"])
    assert math.isnan(found["flat"])
    assert found["noise"] == pytest.approx(naive.sharpe(naive.noise(0, 100, 1)[:, 0]))


@given(small, small, st.integers(2, 5000), st.floats(-2, 2), st.floats(0, 20))
def test_probabilistic_sharpe_ratio_is_a_probability_that_turns_round(
    sr: float, benchmark: float, n: int, skewness: float, extra: float
) -> None:
    kurt = 1 + skewness**2 + extra
    psr = probabilistic_sharpe_ratio(sr, benchmark, n, skewness, kurt)
    assert 0 <= psr <= 1
    assert psr == pytest.approx(1 - probabilistic_sharpe_ratio(-sr, -benchmark, n, -skewness, kurt), abs=1e-12)


@given(some, small, st.floats(-1, 1), st.floats(3, 10), st.floats(0.51, 0.999))
def test_a_track_record_of_the_least_length_is_just_long_enough(
    sr: float, gap: float, skewness: float, kurt: float, confidence: float
) -> None:
    length = min_track_record_length(sr, sr - abs(gap), skewness, kurt, confidence)
    if 2 <= length < 1e12:
        psr = probabilistic_sharpe_ratio(sr, sr - abs(gap), length, skewness, kurt)  # type: ignore[arg-type]
        assert psr == pytest.approx(confidence, abs=1e-6)
    assert min_track_record_length(sr, sr, skewness, kurt) == math.inf


@given(small, st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0, 0.1))
def test_more_trials_never_raise_the_deflated_sharpe_ratio(
    sr: float, one: float, other: float, variance: float
) -> None:
    few, many = sorted((one, other))
    of_few, of_many = (deflated_sharpe_ratio(sr, 500, n, variance, -0.5, 6) for n in (few, many))
    assert of_many <= of_few
    assert min_backtest_length(few, 1) <= min_backtest_length(many, 1)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 8), st.floats(0, 3))
def test_effective_trials_come_from_the_mean_of_all_correlations(seed: int, columns: int, common: float) -> None:
    x = naive.noise(seed, 60, columns) + common * naive.noise(seed + 1, 60, 1)
    found = effective_trials(x)
    pairs = np.corrcoef(x.T)[np.triu_indices(columns, 1)]
    r = max(0.0, float(pairs.mean()))
    assert found.mean_correlation == pytest.approx(r, abs=1e-12)
    assert found.effective == pytest.approx(r + (1 - r) * columns, abs=1e-9)
    assert 1 <= found.effective <= columns + 1e-12


def test_copies_are_one_trial_and_flat_ones_correlate_with_none() -> None:
    x = naive.noise(3, 60, 4)
    assert effective_trials(np.column_stack([x, x[:, [0, 2]]])) == effective_trials(x)
    assert effective_trials(x[:, [0, 0, 0]]) == (1, 0.0, 1.0)
    assert effective_trials(np.column_stack([x[:, 0], 2 * x[:, 0], np.zeros(60)])) == pytest.approx((3, 1 / 3, 7 / 3))


def overlapping(seed: int, rows: int, days: int) -> np.ndarray:
    """A trade of so many days opened every day: one return appears in as many periods."""
    return np.convolve(naive.noise(seed, rows + days - 1, 1)[:, 0], np.ones(days) / days, "valid")


def test_overlapping_trades_without_an_edge() -> None:
    """The textbook ratio believes 38 % of them."""
    textbook = long_run = 0
    for seed in range(400):
        x = overlapping(seed, 1000, 20)
        found = moments(x)
        textbook += probabilistic_sharpe_ratio(found.sharpe, 0, *found[1:]) > 0.95
        long_run += long_run_probabilistic_sharpe_ratio(x) > 0.95
    assert 0.3 < textbook / 400 < 0.45
    assert naive.wilson(long_run, 400)[0] < 0.065
    assert 0.03 < long_run / 400 < 0.1


def test_without_dependence_the_long_run_ratio_is_the_textbook_one() -> None:
    for seed in range(20):
        x = naive.noise(seed, 2000, 1)[:, 0] + 0.0005
        found = moments(x)
        textbook = probabilistic_sharpe_ratio(found.sharpe, 0, *found[1:])
        assert long_run_probabilistic_sharpe_ratio(x) == pytest.approx(textbook, abs=0.03), f"seed {seed}"


def test_long_run_variance_of_an_autoregression() -> None:
    """sigma^2 / (1 - rho)^2, and the sum over lags that defines the estimator."""
    x = naive.autoregressive(1, 20_000, 40, 0.5)
    found = [long_run_variance(column) for column in x.T]
    assert np.mean(found) == pytest.approx(0.01**2 / 0.25, rel=0.03)
    x = naive.autoregressive(2, 200, 1, 0.5)[:, 0]
    c = x - x.mean()
    gamma = [float(c[lag:] @ c[: len(c) - lag]) / len(c) for lag in range(len(c))]
    rho = gamma[1] / gamma[0]
    bandwidth = 1.3221 * (4 * rho**2 / (1 - rho) ** 4 * len(c)) ** 0.2
    total = gamma[0]
    for lag in range(1, len(c)):
        z = 6 * math.pi * lag / bandwidth / 5
        total += 2 * gamma[lag] * 3 / z**2 * (math.sin(z) / z - math.cos(z))
    assert long_run_variance(x) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: probabilistic_sharpe_ratio(math.nan, 0, 24, 0, 3), "sr must be a number, finite, but is nan"),
        (lambda: probabilistic_sharpe_ratio(1, math.inf, 24, 0, 3), "sr_benchmark must be"),
        (lambda: probabilistic_sharpe_ratio(1, 0, 1, 0, 3), "n must be a number, at least 2, but is 1"),
        (lambda: probabilistic_sharpe_ratio(1, 0, 24, 0, 0), "pass it not in excess"),
        (lambda: probabilistic_sharpe_ratio(1, 0, 24, -3, 9), "with a skewness of -3 it is at least 10"),
        (lambda: probabilistic_sharpe_ratio("1", 0, 24, 0, 3), "sr must be"),  # type: ignore[arg-type]
        (lambda: min_track_record_length(1, 0, 0, 3, 0.5), "confidence must be a number, greater than 0.5"),
        (lambda: min_track_record_length(1, 0, 0, 3, 1), "confidence must be"),
        (lambda: expected_maximum_sharpe(0), "n_trials must be a number, at least 1"),
        (lambda: expected_maximum_sharpe(10**400), "n_trials must be"),
        (lambda: deflated_sharpe_ratio(1, 24, 10, -1, 0, 3), "sr_variance must be a number, at least 0"),
        (lambda: min_backtest_length(45, 0), "sharpe must be a number, greater than 0, but is 0"),
        (lambda: haircut_sharpe({}, 120), "there is no p-value"),
        (lambda: haircut_sharpe({"a": 1.0}, 120, "sidak"), "method must be one of bonferroni, holm, bhy"),
        (lambda: haircut_sharpe({"a": 1.0}, 2.5), "n must be"),  # type: ignore[arg-type]
        (lambda: required_sharpe(240, 10, 0), "significance must be"),
        (lambda: adjusted_p_values([0.5, 1.5], "holm"), "a p-value must be"),
    ],
)
def test_a_number_without_meaning_is_refused(call: object, says: str) -> None:
    with pytest.raises(StatisticsError, match=says) as refused:
        call()  # type: ignore[operator]
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, ValueError)
