"""Metrics against independent libraries on a real series, and by hand where no library has our definition."""

from __future__ import annotations

import math
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd
import pytest
import quantstats.stats as qs
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest import BacktestEngine, BacktestResult
from engine.compiled.jit import kernel
from engine.compiled.sums import (
    ROOM,
    count_below,
    least,
    products_around,
    squares_around,
    sum_below,
    sum_of,
    sum_returns,
)
from engine.data.load import load_bars
from engine.metrics.catalogue import METRICS, RATIO_LIMIT, metric_text
from engine.metrics.drawdowns import drawdowns
from engine.metrics.measure import N_METRICS, as_metrics, measure
from engine.metrics.tails import alpha_beta, market_of, quantiles
from engine.simulator.fills import no_fills
from engine.simulator.orders import EXIT_REASON, N_TRADE, OPEN, PNL
from engine.simulator.simulate import Simulation

IBM = Path(__file__).parents[2] / "studies" / "data" / "ibm_1d.csv"
DAY = 86_400_000_000_000


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    engine = BacktestEngine(fee_bps=10, slippage_bps=2, stop_pct=0.08)
    return engine.run_realistic(load_bars(IBM), "ma_crossover", {"fast_window": 10, "slow_window": 40})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("total_return", 1.11507, "111.51%"),
        ("ulcer_index", 0.123449, "12.34%"),
        ("worst_trade", -0.05, "-5.00%"),
        ("max_drawdown_bars", 1234.0, "1,234"),
        ("max_consecutive_losses", 7.0, "7"),
        ("avg_drawdown_bars", 34.5, "34.5000"),  # a mean, no count
        ("sharpe_ratio", 0.49764, "0.4976"),
        ("gross_profit", 12345.678, "12,345.68"),
        ("win_rate", math.nan, "–"),
        ("win_rate", None, "–"),
    ],
)
def test_a_person_reads_shares_in_per_cent_and_counts_as_whole_numbers(name, value, text):
    assert metric_text(name, value, 365.0) == text
    assert metric_text("sharpe_ratio", 0.5, 89.0) == "(0.5000)"  # of fewer than 90 days


def test_the_catalogue_and_the_kernel_agree():
    assert len(METRICS) == N_METRICS
    assert all(metric.name == name and metric.description for name, metric in METRICS.items())


def test_the_page_on_metrics_says_what_the_catalogue_says():
    page = (IBM.parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name, m in METRICS.items():
        better, year = "higher" if m.direction == "maximize" else "lower", "yes" if m.annualised else ""
        text = m.description.replace("|", "\\|")
        assert f"| `{name}` | {better} | {m.over_cells} | {year} | {text} |" in page


def test_equals_empyrical_and_quantstats(result):
    m, r = result.metrics, result.returns
    market = result.market.pct_change().iloc[1:]
    annual = {"annualization": 252}
    alpha, beta = empyrical.alpha_beta_aligned(r.iloc[1:], market, **annual)
    references = {
        "sharpe_ratio": (empyrical.sharpe_ratio(r, **annual), qs.sharpe(r, periods=252)),
        "sortino_ratio": (empyrical.sortino_ratio(r, **annual), qs.sortino(r, periods=252)),
        "annual_volatility": (empyrical.annual_volatility(r, **annual), qs.volatility(r, periods=252)),
        "max_drawdown": (empyrical.max_drawdown(r), qs.max_drawdown(result.equity)),
        "total_return": (empyrical.cum_returns_final(r), qs.comp(r)),
        "omega_ratio": (empyrical.omega_ratio(r, annualization=1), qs.omega(r, periods=252)),
        "tail_ratio": (empyrical.tail_ratio(r), abs(np.quantile(r, 0.95) / np.quantile(r, 0.05))),
        "value_at_risk_95": (empyrical.value_at_risk(r, 0.05), np.percentile(r, 5)),
        "conditional_value_at_risk_95": (empyrical.conditional_value_at_risk(r, 0.05),),
        "ulcer_index": (qs.ulcer_index(r) * math.sqrt((len(r) - 1) / len(r)),),  # quantstats divides by n - 1
        "alpha": (alpha,),
        "beta": (beta,),
    }
    for name, values in references.items():
        for value in values:
            assert m[name] == pytest.approx(value, rel=1e-9), name
    assert m["calmar_ratio"] == pytest.approx(m["cagr"] / abs(empyrical.max_drawdown(r)), rel=1e-12)
    assert m["recovery_factor"] == pytest.approx(m["total_return"] / abs(empyrical.max_drawdown(r)), rel=1e-12)


def test_equals_pandas_on_trades_drawdowns_and_calendar(result):
    m, equity = result.metrics, result.equity
    closed = result.trades[result.trades["exit_reason"] != "open"]
    pnl, won = closed["pnl"], closed["pnl"] > 0
    years = (equity.index[-1] - equity.index[0]).total_seconds() / 86_400 / 365.25
    under = (result.drawdown < 0).astype(int)
    spells = under.groupby((under.diff() != 0).cumsum()).sum()
    streaks = won.groupby((won != won.shift()).cumsum())
    payoff = pnl[won].mean() / abs(pnl[~won].mean())
    expected = {
        "cagr": (equity.iloc[-1] / 10_000) ** (1 / years) - 1,
        "n_trades": len(closed),
        "win_rate": won.mean(),
        "profit_factor": pnl[won].sum() / abs(pnl[~won].sum()),
        "payoff_ratio": payoff,
        "expectancy": pnl.mean(),
        "expectancy_ratio": (1 + payoff) * won.mean() - 1,
        "kelly": won.mean() - (1 - won.mean()) / payoff,
        "sqn": math.sqrt(len(pnl)) * pnl.mean() / pnl.std(),
        "avg_trade_return": closed["return"].mean(),
        "best_trade": closed["return"].max(),
        "worst_trade": closed["return"].min(),
        "avg_holding_bars": closed["bars_held"].mean(),
        "max_consecutive_wins": max(len(s) for _, s in streaks if s.iloc[0]),
        "max_consecutive_losses": max(len(s) for _, s in streaks if not s.iloc[0]),
        "max_drawdown_bars": spells.max(),
        "avg_drawdown_bars": spells[spells > 0].mean(),
        "fees_paid": result.trades["fees"].sum(),
        "financing_paid": 0.0,
        "buy_and_hold_return": result.market.iloc[-1] - 1,
    }
    for name, value in expected.items():
        assert m[name] == pytest.approx(value, rel=1e-9), name
    held = pd.Series(0, index=equity.index)
    value = 0.0
    for trade in result.trades.itertuples():
        held.loc[trade.entry_time : trade.exit_time] += 1
        value += abs(trade.size) * (trade.entry_price + (0 if trade.exit_reason == "open" else trade.exit_price))
        if trade.exit_reason != "open":
            held.loc[trade.exit_time] -= 1
    assert m["exposure"] == pytest.approx((held > 0).mean(), rel=1e-12)
    assert m["turnover"] == pytest.approx(value / equity.mean() * 252 / len(equity), rel=1e-9)


def run_of(equity: list[float], trades: list[dict[int, float]] = ()) -> Simulation:  # type: ignore[assignment]
    rows = np.zeros((len(trades), N_TRADE))
    for row, trade in zip(rows, trades, strict=True):
        row[[3, 4, 5]] = 100.0, 100.0, 1.0
        for column, value in trade.items():
            row[column] = value
    return Simulation(np.array(equity), rows, 1, 0.0, 0.0, 0.0, no_fills())


def metrics_for(equity: list[float], trades: list[dict[int, float]] = ()) -> dict[str, float]:  # type: ignore[assignment]
    n = len(equity)
    return as_metrics(measure(np.arange(n) * DAY, np.full(n, 50.0), run_of(equity, trades), 100.0, 252.0, True))


def test_what_is_undefined_is_nan_and_not_zero():
    m = metrics_for([100.0] * 5)
    for name in (
        "sharpe_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "omega_ratio",
        "win_rate",
        "sqn",
        "expectancy",
        "kelly",
    ):
        assert math.isnan(m[name]), name
    for name in ("avg_drawdown_bars", "best_trade", "max_consecutive_wins", "alpha", "beta", "tail_ratio"):
        assert math.isnan(m[name]), name
    for name in ("total_return", "max_drawdown", "n_trades", "exposure", "turnover", "max_drawdown_bars"):
        assert m[name] == 0.0, name


def test_only_winners_have_the_highest_profit_factor():
    m = metrics_for([100, 101, 102, 103], [{PNL: 1.0}, {PNL: 2.0}, {PNL: -9.0, EXIT_REASON: OPEN}])
    assert m["n_trades"] == 2
    assert m["win_rate"] == 1.0
    assert m["profit_factor"] == m["payoff_ratio"] == RATIO_LIMIT
    assert m["max_consecutive_losses"] == 0
    assert m["expectancy"] == 1.5


def test_a_first_bar_below_the_initial_cash_is_a_drawdown():
    m = metrics_for([90.0, 95.0, 99.0])
    assert m["max_drawdown"] == pytest.approx(-0.1)
    assert m["max_drawdown_bars"] == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=50))
def test_metrics_are_finite_or_nan_and_within_their_bounds(equity):
    m = metrics_for(equity)
    assert not any(math.isinf(value) for value in m.values())
    assert -1 <= m["max_drawdown"] <= 0
    assert 0 <= m["max_drawdown_bars"] <= len(equity)
    assert m["total_return"] == pytest.approx(equity[-1] / 100 - 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=60))
def test_quantiles_equal_numpys(values):
    array = np.array(values)
    low, high = quantiles(array)
    count = int(0.05 * (len(array) - 1)) + 1
    assert low.edge == pytest.approx(np.quantile(array, 0.05), rel=1e-12, abs=1e-15)
    assert low.beyond == pytest.approx(np.sort(array)[:count].mean(), rel=1e-9, abs=1e-12)
    assert high.edge == pytest.approx(np.quantile(array, 0.95), rel=1e-12, abs=1e-15)
    assert high.beyond == pytest.approx(np.sort(array)[-count:].mean(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [64, 640, 4096, 5000])
def test_quantiles_of_a_long_series(n):
    """A sample guesses what is in the tail: also values in the rhythm of the sampling, which mislead it."""
    rng = np.random.default_rng(1)
    misleading = np.where(np.arange(n) % max(n // 64, 1) == 0, -1.0, rng.random(n))
    noise = rng.normal(size=n)
    ordered = np.sort(noise)
    flat = np.where(rng.random(n) < 0.6, 0.0, noise)  # out of the market most of the time
    piped = np.concatenate([ordered[::2], ordered[1::2][::-1]])
    rarely = np.where(rng.random(n) < 0.97, 0.0, noise)
    charged = np.where(rng.random(n) < 0.3, -1e-4, 0.01 * noise)  # the same fall on many bars
    crash = np.append(1e-3 * noise[1:], -0.9)
    for array in (
        noise,
        rarely,
        charged,
        -charged,
        crash,
        1e300 * noise,
        misleading,
        -misleading,
        np.zeros(n),
        flat,
        noise.round(1),
        ordered,
        ordered[::-1].copy(),
        piped,
    ):
        low, high = quantiles(array)
        count = int(0.05 * (n - 1)) + 1
        assert low.beyond == pytest.approx(np.sort(array)[:count].mean(), rel=1e-9, abs=1e-12)
        assert high.beyond == pytest.approx(np.sort(array)[-count:].mean(), rel=1e-9, abs=1e-12)
        assert low.edge == pytest.approx(np.quantile(array, 0.05), rel=1e-12, abs=1e-15)
        assert high.edge == pytest.approx(np.quantile(array, 0.95), rel=1e-12, abs=1e-15)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=4),
    st.integers(20, 600),
    st.sampled_from([0.0, 0.04, 0.06, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_quantiles_where_values_repeat(values, n, share, seed):
    rng = np.random.default_rng(seed)
    array = np.where(rng.random(n) < share, rng.normal(0, 0.3, n), rng.choice(values, n))
    low, high = quantiles(array)
    count = int(0.05 * (n - 1)) + 1
    assert [low.edge, high.edge] == pytest.approx(np.quantile(array, [0.05, 0.95]), rel=1e-12, abs=1e-15)
    assert low.beyond == pytest.approx(math.fsum(np.sort(array)[:count]) / count, rel=1e-12, abs=1e-15)
    assert high.beyond == pytest.approx(math.fsum(np.sort(array)[-count:]) / count, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("falls", range(12))
def test_quantiles_at_the_edge_of_equal_values(falls):
    rng = np.random.default_rng(falls)
    array = rng.permutation(np.concatenate([-rng.random(falls), np.zeros(30), rng.random(71 - falls)]))
    for values in (array, -array):
        low, high = quantiles(values)
        assert [low.edge, high.edge] == pytest.approx(np.quantile(values, [0.05, 0.95]), rel=1e-12, abs=1e-15)
        assert low.beyond == pytest.approx(np.sort(values)[:6].mean(), rel=1e-12)
        assert high.beyond == pytest.approx(np.sort(values)[-6:].mean(), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 300), st.sampled_from([0.02, 0.5, 0.98]), st.integers(0, 2**32 - 1))
def test_an_account_beyond_a_float_has_no_quantiles(n, share, seed):
    rng = np.random.default_rng(seed)
    equity = np.where(rng.random(n) < share, math.inf, rng.uniform(50, 150, n))
    equity[rng.integers(n)] = math.inf
    with np.errstate(invalid="ignore"):
        m = metrics_for(equity.tolist())
    assert all(math.isnan(m[name]) for name in ("value_at_risk_95", "conditional_value_at_risk_95", "tail_ratio"))
    assert not any(math.isinf(value) for value in m.values())


@kernel
def all_sums(left, right, mean):
    room = np.full(ROOM, 1e300)  # scratch: what it holds before must not matter
    pairs = products_around(left, mean, right, -mean, room)
    least_of = least(left, len(left)) if len(left) > 0 else 0.0
    below = sum_below(left, len(left), mean, room)
    return (
        (sum_of(left, room), squares_around(left, mean, room), pairs, below),
        count_below(left, len(left), mean),
        least_of,
    )


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_sums_equal_the_exact_ones(n, seed):
    rng = np.random.default_rng(seed)
    left, right, mean = rng.normal(size=n), rng.normal(size=n), rng.normal()
    terms = left, (left - mean) ** 2, (left - mean) * (right + mean), left[left < mean]
    sums, count, smallest = all_sums(left, right, mean)
    assert (count, smallest) == ((left < mean).sum(), left.min(initial=0.0 if n == 0 else np.inf))
    for found, exact in zip(sums, terms, strict=True):
        assert found == pytest.approx(math.fsum(exact), rel=1e-13, abs=1e-13 * np.abs(exact).sum())


@kernel
def returns_and_sums(equity, first):
    returns = np.empty(len(equity))
    returns[0] = first
    return returns, sum_returns(equity, returns, np.full(ROOM, 1e300))


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.booleans())
def test_returns_and_their_sums_equal_the_exact_ones(n, seed, ruined):
    rng = np.random.default_rng(seed)
    equity = rng.uniform(1, 2, n)
    if ruined:
        equity[rng.integers(n) :] = 0.0
    first = rng.normal()
    returns, sums = returns_and_sums(equity, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(equity[:-1] > 0, equity[1:] / equity[:-1] - 1, 0.0)
    np.testing.assert_array_equal(returns, [first, *expected])
    gains, losses = returns[returns > 0], returns[returns < 0]
    for found, exact in zip(sums, (equity, gains, losses, losses**2), strict=True):
        assert found == pytest.approx(math.fsum(exact), rel=1e-13)


@kernel
def all_drawdowns(equity, cash):
    return drawdowns(equity, cash, True, np.empty(ROOM))


levels = st.lists(st.integers(1, 12), min_size=1, max_size=120)
walks = st.tuples(st.integers(0, 2**32), st.integers(1, 1000), st.integers(0, 3)).map(
    lambda given: np.maximum(20 + np.random.default_rng(given[0]).integers(-1, 2, given[1]).cumsum() * given[2], 0)
)  # under water for hundreds of bars, or for none


@settings(deadline=None)
@given(levels | walks, st.integers(1, 30))
def test_drawdowns_equal_pandas(levels, cash):
    equity = np.array(levels, float)
    peaks = pd.Series(np.concatenate([[cash], equity])).cummax()[1:]
    depth = equity / peaks - 1
    lengths = (depth < 0).groupby((depth >= 0).cumsum()).sum()
    found = all_drawdowns(equity, float(cash))
    assert found.deepest == depth.min()
    assert (found.longest, found.n, found.bars_under) == (lengths.max(), (lengths > 0).sum(), (depth < 0).sum())
    assert found.squares == pytest.approx(math.fsum(depth**2), rel=1e-13, abs=0)


def test_drawdowns_end_where_the_equity_is_no_number():
    assert all_drawdowns(np.r_[np.full(199, 150.0), np.nan], 100.0).bars_under == 1


@pytest.mark.parametrize("daily", [0.5, 0.999, -0.5])
def test_growth_beyond_a_float_is_undefined_compiled_or_not(daily):
    """(1 + daily) ** 525,600 is beyond a float, or 0: a year of minutes."""
    close = 100.0 * np.cumprod(1.0 + 0.01 * np.resize([1.0, -1.0, 0.5, -0.5], 101))
    alpha, beta = alpha_beta(np.full(101, daily), market_of(close, True), 525_600.0, np.empty(ROOM))
    assert beta == pytest.approx(0.0, abs=1e-9)
    assert alpha == -1.0 if daily < 0 else math.isnan(alpha)
