"""Indicators shared between backtests: computed once, the same to the last bit, and nobody else's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest

from engine import ema, indicator, kernel, sma, strategy, sweep
from engine.compiled.shared import Shared
from engine.data.bars import Bars, make_bars
from engine.data.cells import Cell
from engine.evaluate import measure_cell
from engine.metrics.catalogue import METRICS
from engine.simulator.account import Account
from engine.strategies.base import load_strategy
from engine.strategies.signals import mean_above

GRIDS: dict[str, dict[str, list[Any]]] = {
    "bollinger_reversion": {"window": [5, 20], "entry_width": [1.0, 2.0], "exit_width": [0.0, 0.5]},
    "buy_and_hold": {},
    "donchian_breakout": {"entry_window": [10, 20], "exit_window": [5, 9]},
    "ma_crossover": {"fast_window": [3, 5, 8], "slow_window": [13, 21, 34], "ma_type": ["sma", "ema"]},
    "macd_trend": {"fast_span": [5, 8], "slow_span": [13, 21], "signal_span": [4, 5]},
    "momentum": {"lookback": [10, 20], "threshold": [0.0, 0.02]},
    "rsi_reversion": {"period": [5, 14], "oversold": [20.0, 30.0], "overbought": [60.0, 70.0]},
    "volatility_breakout": {"mean_window": [5, 14], "atr_period": [5, 10], "multiple": [0.5, 1.0]},
}


class Counted:
    """A kernel that says how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def kernel(self, values: np.ndarray, by: float) -> np.ndarray:
        self.runs += 1
        return values * by


def bars_of(n: int = 400, seed: int = 0) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    high, low = close * 1.01, close * 0.99
    return make_bars(np.arange(n) * 86_400_000_000_000, close, high, low, close, np.ones(n))


def names_of(grid: dict[str, list[Any]], strategy_name: str) -> list[dict[str, Any]]:
    fields = load_strategy(strategy_name).params._fields
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values()) if set(grid) <= set(fields)]


@pytest.mark.parametrize("name", sorted(GRIDS))
@pytest.mark.parametrize("n_jobs", [1, 4])
def test_a_sweep_gives_what_each_row_gives_alone(name: str, n_jobs: int) -> None:
    bars, rows = bars_of(), names_of(GRIDS[name], name)
    assert rows
    found = sweep(bars, name, rows * 3, n_jobs=n_jobs, periods_per_year=252, fee_bps=5)
    assert "error" not in found
    account, cell = Account(fee_bps=5), Cell(0, 0, len(bars.close))
    alone = [measure_cell(load_strategy(name), row, account, (bars,), cell, 252.0) for row in rows] * 3
    np.testing.assert_array_equal(found[list(METRICS)].to_numpy(), np.array(alone))


def test_the_same_is_computed_once_and_only_the_same() -> None:
    bars, other = bars_of(), bars_of(seed=1)
    counted = Counted()
    with Shared(bars) as shared:
        for _ in range(3):
            for column, by in product((bars.close, bars.open, bars.close[10:50], bars.close[10:60]), (2.0, 3.0)):
                np.testing.assert_array_equal(shared.result(counted, (column, by)), column * by)
        assert counted.runs == 8
        shared.result(counted, (bars.close, 2))  # a whole number is another argument
        assert counted.runs == 9
        for mine in (other.close, bars.close.copy(), bars.close[::2], bars.close + 0.0):
            for _ in range(2):
                np.testing.assert_array_equal(shared.result(counted, (mine, 2.0)), mine * 2.0)
        assert counted.runs == 9 + 8


def test_a_view_that_may_be_written_is_not_trusted() -> None:
    """Its values may change under it."""
    columns, counted = (np.arange(9.0),), Counted()
    view = columns[0][2:5]
    shared = Shared(columns)
    assert list(shared.result(counted, (view, 2.0))) == [4.0, 6.0, 8.0]
    view[0] = 7.0
    assert list(shared.result(counted, (view, 2.0))) == [14.0, 6.0, 8.0]


def test_the_same_bytes_of_another_type_or_shape_are_another_array() -> None:
    bars, counted = bars_of(), Counted()
    shared = Shared(bars)
    for part in (bars.close[3:9], bars.close.view(np.int64)[3:9], bars.close[3:9].reshape(6, 1)):
        np.testing.assert_array_equal(shared.result(counted, (part, 2.0)), part * 2.0)


def test_who_writes_into_a_result_writes_into_its_own() -> None:
    bars = bars_of()

    @strategy
    def scribbles(bars: Bars, p: Any) -> np.ndarray:
        mean = sma(bars.close, 5)
        before = np.nan_to_num(mean, nan=bars.close[0])
        mean[:] = 1e9
        return np.where(bars.close > before, 1.0, 0.0)

    with Shared(bars):
        first = scribbles.target(bars, {})
        np.testing.assert_array_equal(scribbles.target(bars, {}), first)
        inside = sma(bars.close, 5)
    np.testing.assert_array_equal(inside, sma(bars.close, 5))


def test_no_more_is_kept_than_there_is_room_for() -> None:
    bars, counted = bars_of(100), Counted()
    shared = Shared(bars, room=3 * bars.close.nbytes)
    for by in (1.0, 2.0, 3.0, 1.0, 2.0, 3.0):
        shared.result(counted, (bars.close, by))
    assert counted.runs == 3
    shared.result(counted, (bars.close, 4.0))  # the oldest goes
    shared.result(counted, (bars.close, 2.0))
    assert counted.runs == 4
    shared.result(counted, (bars.close, 1.0))
    assert counted.runs == 5
    none = Shared(bars, room=1)
    none.result(counted, (bars.close, 1.0))
    none.result(counted, (bars.close, 1.0))
    assert counted.runs == 7


def test_what_could_be_done_without_takes_no_room_from_what_is_kept() -> None:
    bars, counted = bars_of(100), Counted()
    shared = Shared(bars, room=2 * bars.close.nbytes)
    for _ in range(4):
        found = [shared.result(counted, (bars.close, by), at_once=False) for by in (1.0, 2.0, 3.0)]
    assert counted.runs == 2
    assert [one is None for one in found] == [False, False, True]


def test_where_nothing_is_asked_for_again_nothing_is_kept() -> None:
    bars, counted = bars_of(50), Counted()
    shared = Shared(bars)
    for by in range(1000):
        shared.result(counted, (bars.close, float(by)))
    shared.result(counted, (bars.close, 999.0))
    assert counted.runs == 1001


def test_threads_share_and_none_sees_anothers_context() -> None:
    bars, other = bars_of(), bars_of(seed=5)
    shared, windows = Shared(bars), (3, 5, 8)
    expected = {id(one): [ema(one.close, window) for window in windows] for one in (bars, other)}

    def work(i: int) -> bool:
        mine = bars if i % 2 else other
        with shared if i % 2 else Shared(mine):
            found = [ema(mine.close, window) for window in windows]
        return all(np.array_equal(*pair, equal_nan=True) for pair in zip(found, expected[id(mine)], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))


def test_in_a_kernel_an_indicator_is_the_kernel() -> None:
    @kernel
    def twice(values: np.ndarray, window: int) -> np.ndarray:
        return sma(values, window) * 2.0

    bars = bars_of()
    with Shared(bars):
        np.testing.assert_array_equal(twice(bars.close, 7), sma(bars.close, 7) * 2.0)


def test_an_indicator_of_ones_own_is_shared_too() -> None:
    @indicator
    def halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values / 2.0, values * 0.5

    bars = bars_of()
    with Shared(bars):
        one, two = halves(bars.close)
        one[:] = 0.0
        again, _ = halves(bars.close)
        np.testing.assert_array_equal(again, two)


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_two_means_are_compared_alike_however_often_they_are_asked_for(asked: int) -> None:
    bars = bars_of()
    plain = mean_above(bars.close, 5, 20)
    with Shared(bars):
        for _ in range(asked):
            np.testing.assert_array_equal(mean_above(bars.close, 5, 20), plain)
