"""Instruments with calendars of their own: the union of their times, held to the naive simulator and to hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import config

from engine import BacktestEngine, Bars, load_bars, strategy, sweep, to_frame
from engine.data.bars import TRADED, add_features, make_bars, slice_bars, take
from engine.data.calendar import BAR, NO_BAR, OVER, on_calendar, own_bars, union
from engine.data.cells import Cell
from engine.data.shuffle import noisy, resampled, shuffled
from engine.errors import DataError, StrategyError
from engine.evaluate import evaluate, run_portfolio
from engine.simulator.account import Account
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.levels import Answer, without_levels
from engine.strategies.lookahead import probe_lookahead
from tests.engine.test_levels import NAMES, ladder_levels, levels_of
from tests.engine.test_simulate import CONTRACTS, DAY, PERIODS, accounts, check_equal, random_bars, random_target
from tests.naive import Simulator


class NoParams(NamedTuple):
    pass


EXAMPLES = 20 if config.DISABLE_JIT else 80


def with_holes(rng: np.random.Generator, bars: Bars) -> Bars:
    """Listed late, delisted early, and without some of the bars between."""
    n = len(bars.close)
    first, last = sorted(rng.integers(0, n, 2)) if rng.random() < 0.6 else (0, n - 1)
    kept = np.flatnonzero((rng.random(n) > rng.choice([0.0, 0.4])) & (np.arange(n) >= first) & (np.arange(n) <= last))
    return take(bars, kept if len(kept) else np.array([first]))


def plain(bars: Bars, times: np.ndarray) -> dict[str, list[float | None]]:
    """Columns on the times, None where there is no bar."""
    rows = {int(t): i for i, t in enumerate(bars.timestamp)}
    return {
        name: [float(getattr(bars, name)[rows[int(t)]]) if int(t) in rows else None for t in times]
        for name in ("open", "high", "low", "close", "volume")
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    accounts(),
    st.integers(0, 2**32 - 1),
    st.integers(4, 40),
    st.integers(2, 4),
    st.sampled_from([0.02, 0.15]),
    st.sets(st.sampled_from(["stop", "take_profit", "trailing"])),
    st.sampled_from([[], [], [0.5, 0.5], [0.1, 0.2, 0.6]]),
)
def test_a_portfolio_with_holes_and_levels_equals_the_naive_simulator(account, seed, n, k, volatility, used, shares):
    rng = np.random.default_rng(seed)
    instruments = [with_holes(rng, random_bars(rng, n, volatility)) for _ in range(k)]
    times = np.unique(np.concatenate([bars.timestamp for bars in instruments]))
    weights = np.stack([random_target(rng, len(times), True) for _ in range(k)], axis=1)
    each = [account._replace(**CONTRACTS[i % 3]) for i in range(k if seed % 2 else 0)]
    together = union(instruments)
    levels = [levels_of(rng, bars, target) for bars, target in zip(together, weights.T, strict=True)]
    levels = [{name: one[name] for name in used} for one in levels]
    ladders = [[ladder_levels(rng, bars, weights[:, i]) for _ in shares] for i, bars in enumerate(together)]
    none, parts = np.full(len(times), np.nan), [np.full(len(times), share) for share in shares]
    moving = [
        [one.get(name, none) for name in NAMES] + [row for rung in zip(ladder, parts, strict=True) for row in rung]
        for one, ladder in zip(levels, ladders, strict=True)
    ]
    answer = Answer(weights, np.array(moving)) if used or shares else without_levels(weights)
    run, market = run_portfolio(together, 0, answer, account, PERIODS, each, fills=True)
    columns = [plain(bars, times) for bars in instruments]
    given_levels = [{name: values.tolist() for name, values in one.items()} for one in levels]
    given_ladders = [[(prices.tolist(), share) for prices, share in zip(one, shares, strict=True)] for one in ladders]
    given_ = (account, PERIODS, given_levels, given_ladders, each)
    expected = Simulator(columns, weights.T.tolist(), *given_).run()
    check_equal(run, expected, account)
    parts = [next(price for price in column["close"] if price is not None) for column in columns]
    for t in range(len(times)):
        held = [expected.price(i, "close", t) / parts[i] or 1.0 for i in range(k)]  # cash before its first bar
        assert market[t] == pytest.approx(sum(held) / k, rel=1e-12)


def hand(times: list[int], prices: list[float]) -> Bars:
    """Daily bars that stand still within the day, at these days."""
    p = np.array(prices, dtype=float)
    return make_bars(np.array(times) * DAY, p, p, p, p, np.full(len(p), 7.0), features={"score": p / 10})


ALWAYS = hand([0, 1, 2, 3, 4, 5], [10, 10, 10, 10, 10, 10])
LATE = hand([2, 4, 5], [20, 30, 40])  # listed on day 2, no bar on day 3
ENDED = hand([0, 1, 2], [5, 6, 8])


def test_the_union_by_hand():
    one, late, ended = union([ALWAYS, LATE, ENDED])
    assert one.timestamp is late.timestamp is ended.timestamp
    nan = np.nan
    np.testing.assert_array_equal(late.open, [nan, nan, 20, 20, 30, 40])
    np.testing.assert_array_equal(late.volume, [0, 0, 7, 0, 7, 7])
    np.testing.assert_array_equal(late.score, [nan, nan, 2, 2, 3, 4])
    np.testing.assert_array_equal(late.traded, [NO_BAR, NO_BAR, BAR, NO_BAR, BAR, BAR])
    np.testing.assert_array_equal(ended.traded, [BAR, BAR, BAR, OVER, OVER, OVER])
    for given_, found in zip((ALWAYS, LATE, ENDED), (one, late, ended), strict=True):
        for column, own in zip(given_, own_bars(found), strict=True):
            np.testing.assert_array_equal(column, own)
    np.testing.assert_array_equal(on_calendar(np.array([1.0, 2.0, 3.0]), late), [0, 0, 1, 1, 2, 3])
    assert union([ALWAYS, ALWAYS])[1] is ALWAYS
    with pytest.raises(DataError, match="another union"):
        union([late, LATE])


def test_a_column_called_as_the_mark_is_refused_whatever_the_calendars():
    """Of equal calendars it would be taken for the mark: nothing would be traded where it is not 1."""
    with pytest.raises(DataError, match="rename that column"):
        add_features(ALWAYS, {TRADED: ALWAYS.close})
    with pytest.raises(DataError, match="rename that column"):
        load_bars(to_frame(ALWAYS).assign(Traded=1.0))


def test_a_gap_at_the_end_of_a_cell_is_no_delisting():
    instruments = union([ALWAYS, LATE, ENDED])
    weights = np.full((6, 3), 1 / 3)
    run, market = run_portfolio(
        tuple(slice_bars(b, 0, 4) for b in instruments), 0, without_levels(weights[:4]), Account(), PERIODS
    )
    assert {int(row[0]): int(row[8]) for row in run.trades} == {0: 8, 1: 8, 2: 9}  # open, open, delisted
    np.testing.assert_allclose(market, [1, (1 + 1 + 6 / 5) / 3, (1 + 1 + 8 / 5) / 3, (1 + 1 + 8 / 5) / 3])
    result = BacktestEngine(initial_cash=900).run_realistic([ALWAYS, LATE, ENDED], "buy_and_hold", {})
    trades = result.trades.set_index("instrument")
    assert trades.loc[2, "exit_reason"] == "delisted"
    assert trades.loc[2, "exit_time"] == pd.Timestamp("1970-01-04", tz="UTC")
    assert trades.loc[2, "pnl"] == pytest.approx(300 / 6 * (8 - 6))  # bought at the open of day 1
    assert trades.loc[1, "entry_time"] == pd.Timestamp("1970-01-05", tz="UTC")  # wanted on day 2, no bar on day 3
    assert trades.loc[1, "size"] == pytest.approx((900 + 100) / 3 / 30)
    assert result.equity.iloc[-1] == pytest.approx(1000 * (2 / 3 + 40 / 30 / 3))


@strategy
def members(instruments: tuple[Bars, ...], p: NoParams) -> np.ndarray:
    """Equal parts of all with a score above 2.5; NaN where there is no price yet."""
    return np.stack([np.where(bars.score > 2.5, 1.0, 0.0 * bars.close) for bars in instruments], axis=1) / 3


def test_a_strategy_of_several_sees_the_holes_and_an_index_knows_its_members():
    instruments = union([ALWAYS, LATE, ENDED])
    weights = members.weights(instruments, NoParams())
    np.testing.assert_allclose(weights.T * 3, [[0] * 6, [0, 0, 0, 0, 1, 1], [0] * 6])
    assert probe_lookahead(members, [{}], instruments, 0.1).moved == (True,)
    early = Strategy(lambda several, params: np.full((6, 3), np.nan), compiled=True)
    early.joint, early.n_instruments = True, 0
    with pytest.raises(StrategyError, match="target at bar 0 is nan"):  # the first instrument has a bar there
        early.weights(instruments, {})


ROWS = (np.arange(300), np.arange(100, 300), np.flatnonzero(np.random.default_rng(0).random(250) < 0.7))
RANDOM = [take(random_bars(np.random.default_rng(i), 300), rows) for i, rows in enumerate(ROWS)]


def test_a_strategy_for_one_decides_on_the_bars_it_would_see_alone():
    found, params = union(RANDOM), {"fast_window": 3, "slow_window": 8}
    crossover = load_strategy("ma_crossover")
    weights = crossover.weights(found, crossover.bind(params))
    for own, bars, weight in zip(RANDOM, found, weights.T, strict=True):
        assert len(np.unique(weight)) > 1
        np.testing.assert_array_equal(weight[bars.traded == BAR] * 3, crossover.target(own, crossover.bind(params)))
    result = BacktestEngine(fee_bps=5, periods_per_year=252).run_realistic(RANDOM, "ma_crossover", params)
    rules = {"periods_per_year": 252, "fee_bps": 5}
    table = sweep(RANDOM, "ma_crossover", [params], metrics=["total_return"], **rules)
    assert table["total_return"][0] == result.metrics["total_return"]
    cell = Cell(-1, 0, len(found[0].close))
    assert evaluate(crossover, params, Account(fee_bps=5), found, cell, 252).metrics == result.metrics
    frames = [to_frame(bars) for bars in RANDOM]
    plainly = BacktestEngine(fee_bps=5, periods_per_year=252).run_realistic(frames, rising, {})
    np.testing.assert_array_equal(
        plainly.equity, BacktestEngine(fee_bps=5, periods_per_year=252).run_realistic(RANDOM, rising, {}).equity
    )


def rising(df: pd.DataFrame, params: dict) -> pd.Series:
    assert TRADED not in df
    assert not df["close"].isna().any()
    return (df["close"].diff() > 0).astype(float)


def test_what_changes_bars_leaves_the_holes_where_they_are():
    found = union(RANDOM)
    for change in (
        lambda rng: shuffled(found, rng),
        lambda rng: noisy(found, rng, 0.2),
        lambda rng: resampled(found, rng, 5),
    ):
        for before, after in zip(found, change(np.random.default_rng(0)), strict=True):
            np.testing.assert_array_equal(before.traded, after.traded)
            assert not np.array_equal(before.close, after.close, equal_nan=True)
            np.testing.assert_array_equal(np.isnan(before.close), np.isnan(after.close))
    alone = shuffled(RANDOM, np.random.default_rng(1))
    together = shuffled(found, np.random.default_rng(1))
    for one, other in zip(alone, map(own_bars, together), strict=True):
        np.testing.assert_array_equal(one.close, other.close)
    few = tuple(slice_bars(bars, 0, 4) for bars in union([ALWAYS, LATE, ENDED]))
    assert shuffled(few, np.random.default_rng(0))[1] is few[1]  # one bar of its own
