"""Levels that move in a portfolio: each instrument has its own; of a strategy for one, and of one for several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import Signal, strategy, sweep
from engine.backtest import BacktestEngine
from engine.data.bars import Bars, take
from engine.data.cells import Cell
from engine.errors import EngineError
from engine.evaluate import evaluate
from engine.simulator.account import Account
from engine.strategies.delay import Delayed
from engine.strategies.lookahead import probe_lookahead
from tests.engine.test_levels import ROWS, Bands, bars_of, many_bars
from tests.engine.test_simulate import random_bars


@strategy
def of_two(both: tuple[Bars, Bars], p: Any) -> Signal:
    """The first is bought with a stop, half of the second sold short with a take-profit and rungs of its own."""
    still = np.ones((len(both[0].close), 2))
    nan = np.nan
    return Signal(
        still * [0.5, -0.5],
        stop=still * [95.0, 120.0],
        take_profit=((still * [nan, 96.0], 0.5), (still * [nan, 90.0], 0.25)),
    )


def test_two_instruments_have_levels_of_their_own() -> None:
    bars = bars_of(ROWS)
    trades = BacktestEngine(initial_cash=1000.0).run_realistic([bars, bars], of_two, {}).trades.set_index("instrument")
    assert list(trades.loc[0, ["size", "exit_price", "exit_reason"]]) == [5.0, 95.0, "stop_loss"]
    # sold 5 at 100: half bought back at 96, a quarter at 90, the last one at the end worth 103
    assert list(trades.loc[1, ["size", "exit_reason"]]) == [-5.0, "open"]
    assert trades.loc[1, "pnl"] == pytest.approx(2.5 * 4 + 1.25 * 10 - 1.25 * 3)


def chandelier(bars: Bars, p: Any) -> Signal:
    """The exits of Bands, beside a ladder for some instruments only."""
    found = Bands.compiled(bars, p)._replace(entry_stop=None)
    return found._replace(take_profit=((bars.close * 1.02, 0.4),)) if bars.close[0] > 100 else found


def test_every_door_of_a_portfolio_gives_the_same() -> None:
    """And one instrument alone fares as without a portfolio, from the middle of its bars on too."""
    bars = many_bars()
    both, rules = [bars, random_bars(np.random.default_rng(4), 400, 0.02)], {"fee_bps": 5, "periods_per_year": 252}
    exits, cell = strategy(chandelier), Cell(-1, 100, 400)
    assert len({len(exits.answer(one, {}).moving) for one in both}) == 2
    result = BacktestEngine(**rules).run_realistic(both, exits, {})
    assert {"stop_loss", "trailing_stop", "take_profit"} <= set(result.fills["reason"])
    assert sweep(both, exits, [{}], metrics=["cagr"], **rules)["cagr"][0] == result.metrics["cagr"]
    together, alone = (
        evaluate(exits, {}, Account(fee_bps=5), (bars,), one, 252.0) for one in (cell, cell._replace(instrument=0))
    )
    assert together.metrics == pytest.approx(alone.metrics, nan_ok=True)


def test_a_level_waits_for_the_next_bar_of_its_instrument() -> None:
    """On day 2 the instrument has no bar; on day 3 the stop of its bar before is in force."""
    rows = [(100, 100, 100, 100), (100, 101, 99, 100), (100, 100, 80, 100), (100, 100, 94, 99), (99, 99, 99, 99)]
    whole, holed = bars_of(rows), take(bars_of(rows), np.array([0, 1, 3, 4]))  # type: ignore[arg-type]

    def wants(df: Any, params: Any) -> Signal:
        return Signal(np.ones(len(df)), stop=np.where(df["low"] == 99, [95.0], np.nan) if len(df) == 4 else None)

    trades = BacktestEngine().run_realistic([whole, holed], wants, {}).trades.set_index("instrument")
    assert trades.loc[0, "exit_reason"] == "open"  # and has no levels at all
    assert list(trades.loc[1, ["exit_price", "exit_reason"]]) == [95.0, "stop_loss"]
    assert trades.loc[1, "exit_time"] == pd.Timestamp("1970-01-04", tz="UTC")


def peeking_at_two(both: tuple[Bars, Bars], p: Any) -> Signal:
    close = np.stack([bars.close for bars in both], axis=1)
    return Signal(np.full(close.shape, 0.5), stop=np.roll(close, -1, axis=0) * 0.9)


def test_levels_of_several_are_looked_at_and_come_late_too() -> None:
    both = (many_bars(), many_bars())
    with pytest.raises(EngineError, match="looks ahead"):
        probe_lookahead(strategy(peeking_at_two), [{}], both)
    now, late = of_two.answer_all(both, {}), Delayed(of_two, 2).answer_all(both, {})
    assert now.moving.shape == (2, 5 + 4, len(both[0].close))
    np.testing.assert_array_equal(late.moving[:, :, 2:], now.moving[:, :, :-2])
    assert np.isnan(late.moving[:, :, :2]).all()
    np.testing.assert_array_equal(late.target[2:], now.target[:-2])


def test_a_portfolio_refuses_what_it_cannot_work() -> None:
    both = [many_bars(), many_bars()]
    with pytest.raises(EngineError, match="sets entry_limit or entry_stop, which a portfolio does not know"):
        BacktestEngine().run_realistic(both, strategy(Bands.compiled), {})

    def negative(both: tuple[Bars, Bars], p: Any) -> Signal:
        stop = np.ones((len(both[0].close), 2))
        stop[7, 1] = -3.0
        return Signal(stop / 2, stop=stop)

    with pytest.raises(EngineError, match=r"stop at bar 7 is -3\.0"):
        BacktestEngine().run_realistic(both, strategy(negative), {})
