"""The engine against its peers and against the physical limit on the same work: a moving-average crossover sweep.

5,000 daily bars, every window pair of 5 ... 54 (1,225), fees and slippage, fills at the next open; Sharpe ratio, total
return, maximum drawdown and win rate of each. One thread and processor time, because the limit uses one thread and
other processes may share the machine; the peers get wall time if that is less.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.limit import fused
from benchmarks.table import Line
from engine import sweep
from engine.data.bars import Bars, make_bars
from engine.data.load import to_frame

METRICS = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate")
FEE, SLIP = 0.001, 0.0002
COSTS = {"fee_bps": FEE * 1e4, "slippage_bps": SLIP * 1e4}
STOPS = {"stop_pct": 0.03, "take_profit_pct": 0.1, "risk_per_trade": 0.01}
PAIRS = pd.DataFrame(list(combinations(range(5, 55), 2)), columns=["fast_window", "slow_window"])
LINES = (
    Line("sweep of 1,225 crossovers, 5,000 bars, a backtest on one core", "us", "ours_us", "fused loop", "limit_us"),
    Line("the same, all 36 metrics", "us", "ours_all_metrics_us"),
    Line("the same, stops and sizing by risk", "us", "ours_with_stops_and_sizing_us"),
    Line("the same, on one core", "us", "ours_us", "vectorbt", "vectorbt_us"),
    Line("the same, as called by default (all cores)", "us", "ours_on_all_cores_us", "vectorbt", "vectorbt_us"),
    Line("the same, one at a time", "us", "ours_us", "backtesting.py", "backtesting_py_us"),
)


def main(n_bars: int = 5_000, repeats: int = 15) -> dict[str, Any]:
    """Microseconds per backtest, and ratios."""
    bars = daily_bars(n_bars)
    works: dict[str, Callable[[], object]] = {
        "limit": lambda: [
            fused(bars.open, bars.close, fast, slow, FEE, SLIP) for fast, slow in PAIRS.to_numpy().tolist()
        ],
        "ours": lambda: ours(bars),
        "ours_with_stops_and_sizing": lambda: ours(bars, **STOPS),
        "ours_all_metrics": lambda: ours(bars, metrics=None),
    }
    seconds = in_turns(works, repeats)
    figures: dict[str, Any] = {f"{name}_us": 1e6 * value / len(PAIRS) for name, value in seconds.items()}
    check(bars)
    figures["ours_on_all_cores_us"] = (
        1e6 * typical(lambda: ours(bars, n_jobs=-1), repeats, processor=False) / len(PAIRS)
    )
    figures["vectorbt_us"] = 1e6 * of_vectorbt(bars) / len(PAIRS)
    figures["backtesting_py_us"] = 1e6 * of_backtesting(bars)
    figures["ratios"] = {
        "ours / limit": figures["ours_us"] / figures["limit_us"],
        "with stops / plain": figures["ours_with_stops_and_sizing_us"] / figures["ours_us"],
        "vectorbt / ours on one core": figures["vectorbt_us"] / figures["ours_us"],
        "vectorbt / ours as called by default": figures["vectorbt_us"] / figures["ours_on_all_cores_us"],
        "backtesting.py / ours": figures["backtesting_py_us"] / figures["ours_us"],
    }
    return figures


def daily_bars(n: int, step: float = 0.01) -> Bars:
    """A random walk, one bar a day."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, step, n)))
    open_ = close * np.exp(rng.normal(0, step / 3, n))
    high, low = np.maximum(open_, close) * (1 + step / 3), np.minimum(open_, close) * (1 - step / 3)
    return make_bars(np.arange(n) * 86_400_000_000_000, open_, high, low, close, np.full(n, 1e6))


def ours(bars: Bars, metrics: Any = METRICS, n_jobs: int = 1, **rules: float) -> pd.DataFrame:
    """The sweep as a user runs it."""
    return sweep(bars, "ma_crossover", PAIRS, metrics=metrics, periods_per_year=252, n_jobs=n_jobs, **COSTS, **rules)


def in_turns(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each work, run in turns after one run that compiles."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def check(bars: Bars) -> None:
    """The limit computes what we compute, or it is no limit."""
    table = ours(bars)
    for row in table.iloc[::97].itertuples():
        expected = fused(bars.open, bars.close, row.fast_window, row.slow_window, FEE, SLIP)
        np.testing.assert_allclose([getattr(row, name) for name in METRICS], expected, rtol=1e-8)


def of_vectorbt(bars: Bars) -> float:
    """Seconds for the whole sweep, in its vectorised way: all pairs as columns of one portfolio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vectorbt as vbt

        frame = to_frame(bars)

        def run() -> None:
            fast, slow = vbt.MA.run_combs(frame["close"], window=list(range(5, 55)), r=2, short_names=["fast", "slow"])
            above = fast.ma_above(slow)
            portfolio = vbt.Portfolio.from_signals(
                frame["close"],
                above.vbt.signals.fshift(1),
                (~above).vbt.signals.fshift(1),
                price=frame["open"],
                fees=FEE,
                slippage=SLIP,
                freq="1D",
            )
            portfolio.sharpe_ratio(), portfolio.total_return(), portfolio.max_drawdown(), portfolio.trades.win_rate()

        return typical(run, 5)


def of_backtesting(bars: Bars) -> float:
    """Seconds for one backtest with precomputed means; it has no other way than one at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import backtesting

        class Crossover(backtesting.Strategy):
            def init(self) -> None:
                for name, window in (("fast", 20), ("slow", 50)):
                    setattr(
                        self,
                        name,
                        self.I(lambda values, n=window: pd.Series(values).rolling(n).mean(), self.data.Close),
                    )

            def next(self) -> None:
                if self.fast[-1] > self.slow[-1]:
                    if not self.position:
                        self.buy()
                elif self.position:
                    self.position.close()

        frame = to_frame(bars).rename(columns=str.capitalize).tz_localize(None)
        test = backtesting.Backtest(frame, Crossover, cash=1_000_000, commission=FEE)
        return typical(test.run, 5)


def typical(work: Callable[[], object], repeats: int, processor: bool = True) -> float:
    """Median wall time over the repeats or, with `processor`, processor time where that is less."""
    work()
    found = []
    for _ in range(repeats):
        wall, used = time.perf_counter(), time.process_time()
        work()
        spent = time.perf_counter() - wall
        found.append(min(spent, time.process_time() - used) if processor else spent)
    return statistics.median(found)
