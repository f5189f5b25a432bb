"""Strategies trade on prices, not on the last digit of a float: against decimal arithmetic (tests/exact.py)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core import config

from engine.backtest import BacktestEngine
from engine.data.bars import Bars, make_bars
from engine.strategies.base import builtin_names, load_strategy
from engine.strategies.indicators import sma
from engine.strategies.signals import above, mean_above
from tests import exact
from tests.engine.test_levels import DAY, bars_of

EXAMPLES = 15 if config.DISABLE_JIT else 40
N = 160
HOUR = 3_600_000_000_000
RELAXED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
# Elsewhere something comes arbitrarily close to a level, such as a mean to a price that stands still: there the
# tolerance decides.
TIES_ONLY = {"buy_and_hold", "donchian_breakout", "momentum", "bollinger_reversion"}


def params(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Short windows and round levels, so that ties are met."""
    window = st.integers(2, 30)
    pair = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda two: (two[0], two[0] + two[1]))
    kinds = {
        "buy_and_hold": st.fixed_dictionaries({"exposure": st.sampled_from([0.3, 1.0])}),
        "donchian_breakout": st.fixed_dictionaries({"entry_window": window, "exit_window": window}),
        "ma_crossover": st.builds(
            lambda two, kind: {"fast_window": two[0], "slow_window": two[1], "ma_type": kind},
            pair,
            st.sampled_from(["sma", "sma", "ema"]),
        ),
        "macd_trend": st.builds(
            lambda two, span: {"fast_span": two[0], "slow_span": two[1], "signal_span": span}, pair, st.integers(1, 12)
        ),
        "momentum": st.fixed_dictionaries({"lookback": window, "threshold": st.sampled_from([0.0, 0.01, 0.05])}),
        "volatility_breakout": st.fixed_dictionaries(
            {"mean_window": window, "atr_period": window, "multiple": st.sampled_from([0.5, 1.0, 2.0])}
        ),
        "rsi_reversion": st.fixed_dictionaries(
            {
                "period": st.integers(2, 14),
                "oversold": st.sampled_from([20.0, 25.0, 30.0, 40.0]),
                "overbought": st.sampled_from([50.0, 60.0, 75.0, 80.0]),
            }
        ),
        "bollinger_reversion": st.fixed_dictionaries(
            {
                "window": st.sampled_from([2, 5, 10, 17, 20]),
                "entry_width": st.sampled_from([0.9, 1.0, 1.5, 2.0, 3.0]),
                "exit_width": st.sampled_from([0.0, 0.5]),
            }
        ),
        "zscore_pairs": st.fixed_dictionaries(
            {
                "window": st.sampled_from([2, 5, 10, 17, 20]),
                "entry": st.sampled_from([1.0, 2.0, 3.0]),
                "exit": st.sampled_from([0.0, 0.5]),
            }
        ),
    }
    return kinds[name]


@st.composite
def decimal_bars(draw: st.DrawFn) -> exact.Columns:
    """Whole ticks, most bars quiet; a tick is a cent, or a satoshi; the level is any, and may fall to a millionth."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tick = Decimal(draw(st.sampled_from(["0.01", "0.01", "0.0000000001"])))
    level = draw(st.sampled_from([3337, 10_000, 100_000_000]))
    step = draw(st.sampled_from([1, 3, 50]))
    moves = rng.integers(-step, step + 1, N) * (rng.random(N) < draw(st.sampled_from([0.05, 0.2, 0.6])))
    moves[N // 3 : N // 3 + draw(st.sampled_from([0, 30]))] = 0
    close = np.maximum(level + np.cumsum(moves), 100)
    if draw(st.booleans()) and draw(st.booleans()):
        close[N // 2 :] = np.maximum(close[N // 2 :] // 1_000_000, 1) + np.cumsum(np.maximum(moves[N // 2 :], 0))
    open_ = np.r_[close[0], close[:-1]]
    high = np.maximum(open_, close) + (moves != 0)
    low = np.maximum(np.minimum(open_, close) - (moves != 0), 1)
    columns = {"open": open_, "high": high, "low": low, "close": close}
    return {name: [int(value) * tick for value in column] for name, column in columns.items()}


def as_bars(columns: exact.Columns, factor: str = "1") -> Bars:
    arrays = [np.array([float(value * Decimal(factor)) for value in column]) for column in columns.values()]
    return make_bars(np.arange(N) * HOUR, *arrays, np.ones(N))


def ours(name: str, instruments: list[Bars], values: dict[str, Any]) -> np.ndarray:
    strategy = load_strategy(name)
    bound = strategy.bind(values)
    if strategy.joint:
        return 2.0 * strategy.weights(tuple(instruments), bound)[:, 0]
    return strategy.target(instruments[0], bound)


def instruments_of(name: str) -> st.SearchStrategy[list[exact.Columns]]:
    return (
        st.lists(decimal_bars(), min_size=2, max_size=2)
        if load_strategy(name).joint
        else st.tuples(decimal_bars()).map(list)
    )


@pytest.mark.parametrize("name", builtin_names())
def test_a_strategy_does_what_exact_arithmetic_says(name):
    @RELAXED
    @given(instruments_of(name), params(name))
    def holds(columns, values):
        found = ours(name, [as_bars(one) for one in columns], values)
        low, high = (np.array(exact.signal(name, t, columns, values)) for t in ("0.9e-12", "1.1e-12"))
        clear = low == high  # the tolerance itself has a rounding
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(found[clear], low[clear])
        if name in TIES_ONLY or values.get("ma_type") == "sma":
            np.testing.assert_array_equal(found, exact.signal(name, "1e-40", columns, values))

    holds()


@pytest.mark.parametrize("name", builtin_names())
def test_cents_or_dollars_make_no_difference(name):
    @RELAXED
    @given(instruments_of(name), params(name), st.sampled_from(["0.01", "100", "1000"]))
    def holds(columns, values, factor):
        one = ours(name, [as_bars(each) for each in columns], values)
        other = ours(name, [as_bars(each, factor) for each in columns], values)
        differs = one != other
        if differs.any():  # only where the tolerance itself is met
            low, high = (np.array(exact.signal(name, t, columns, values)) for t in ("0.9e-12", "1.1e-12"))
            assert (low != high)[differs].all()

    holds()


@RELAXED
@given(decimal_bars(), params("zscore_pairs"), st.sampled_from(["3", "0.07", "1.1", "1000"]))
def test_instruments_in_proportion_are_not_traded(columns, values, factor):
    assert not ours("zscore_pairs", [as_bars(columns), as_bars(columns, factor)], values).any()


@RELAXED
@given(decimal_bars(), st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(0, N - 1), max_size=3))
def test_the_fused_crossover_equals_the_general_one_at_ties_and_gaps(columns, fast, more, gaps):
    close = np.array(as_bars(columns).close)
    close[gaps] = np.nan
    np.testing.assert_array_equal(
        mean_above(close, fast, fast + more), above(sma(close, fast), sma(close, fast + more))
    )


@pytest.mark.parametrize("level", [1e-8, 33.37, 1e6])
def test_a_long_walk_leaves_nothing_behind(level):
    """However long and wild the prices were, equal prices have equal means."""
    n = 3_000 if config.DISABLE_JIT else 1_000_000
    walk = 100.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.002, n)))
    walk[n // 2] = 1e6
    close = np.r_[walk, np.full(300, level)]
    for fast, slow in ((1, 2), (5, 20), (19, 200)):
        assert (sma(close, slow)[n + slow :] == level).all()
        assert not mean_above(close, fast, slow)[n + slow :].any()


@pytest.mark.parametrize("multiplier", [1.0, 5.0, 7.0])
def test_an_order_of_exactly_the_least_value_is_sent(multiplier: float) -> None:
    """Whatever a float makes of it: 4000 of money buys for 4000."""
    for price in np.arange(90.0, 110.0, 0.25):
        rules = {"multiplier": multiplier, "fixed_cash": 4000.0, "min_notional": 4000.0}
        result = BacktestEngine(**rules).run_realistic(bars_of([(price,) * 4] * 3), lambda df, p: np.ones(len(df)), {})
        assert len(result.trades) == 1, price


def test_an_order_of_exactly_the_bars_share_is_filled_in_full() -> None:
    """0.29 * 100 is 28.999999999999996: nothing is left of an order of 29 that would be sized anew."""
    bars = make_bars(np.arange(4) * DAY, *np.array([[100.0, 100.0, 50.0, 50.0]] * 4), np.full(4, 100.0))
    rules = {"max_volume_share": 0.29, "lot_size": 1.0, "fixed_cash": 2900.0}
    trade = BacktestEngine(**rules).run_realistic(bars, lambda df, p: np.ones(len(df)), {}).trades.iloc[0]
    assert (trade["size"], trade["entry_price"]) == (29.0, 100.0)
