"""BacktestEngine: one backtest with everything a reader wants to see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.account import Account, make_account, make_rules
from engine.bars import Bars
from engine.data import load_bars
from engine.metrics import metrics_of
from engine.orders import EXIT_REASONS, TRADE_COLUMNS
from engine.simulate import simulate
from engine.sizing import volatility_scale
from engine.strategy import Strategy, load_strategy

if TYPE_CHECKING:
    import pandas as pd


class BacktestResult(NamedTuple):
    """One backtest: plain data, picklable."""

    strategy: str
    params: dict[str, Any]
    account: Account
    metrics: dict[str, float]
    equity: pd.Series[float]  # marked at the close of every bar, UTC index
    trades: pd.DataFrame  # one row per round trip; exit_reason "open" for a position still held


class BacktestEngine:
    """Backtests under one set of account rules, each given by name: BacktestEngine(fee_bps=10, stop_pct=0.02)."""

    def __init__(self, *, periods_per_year: float = 252.0, tracker: Any = None, **account: Any) -> None:
        self.account = make_account(account)
        self.periods_per_year = periods_per_year
        self.tracker = tracker

    def run_realistic(
        self, df: pd.DataFrame | Bars, strategy_fn: str | Strategy | Callable[..., Any], params: Mapping[str, Any]
    ) -> BacktestResult:
        """Backtest a built-in name, a "file.py:function", a @strategy, or a callable (df, params) -> Series."""
        bars = df if isinstance(df, Bars) else load_bars(df)
        strategy = as_strategy(strategy_fn)
        bound = strategy.bind(params)
        rules = make_rules(self.account)
        scale = volatility_scale(bars.close, self.account, self.periods_per_year)
        run = simulate(bars, strategy.target(bars, bound), scale, rules)
        metrics = metrics_of(bars, run, rules.initial_cash, self.periods_per_year)
        used = bound._asdict() if hasattr(bound, "_asdict") else dict(bound)
        return BacktestResult(strategy.name, used, self.account, metrics, *_tables(bars, run.equity, run.trades))


def as_strategy(given: str | Strategy | Callable[..., Any]) -> Strategy:
    """A Strategy from a name, a "file.py:function", a Strategy or a callable (df, params) -> Series."""
    if isinstance(given, Strategy):
        return given
    return load_strategy(given, Path()) if isinstance(given, str) else Strategy(given, compiled=False)


def _tables(bars: Bars, equity: Any, trades: Any) -> tuple[pd.Series[float], pd.DataFrame]:
    import pandas as pd

    index = pd.DatetimeIndex(bars.timestamp.astype("datetime64[ns]"), tz="UTC", name="timestamp")
    table = pd.DataFrame(trades, columns=list(TRADE_COLUMNS))
    entry, leave = table["entry_bar"].to_numpy(np.int64), table["exit_bar"].to_numpy(np.int64)
    shown = pd.DataFrame({"entry_time": index[entry], "exit_time": index[leave]})
    for name in ("entry_price", "exit_price", "size", "pnl"):
        shown[name] = table[name]
    shown["return"] = table["pnl"] / (table["entry_price"] * table["size"].abs())
    shown["fees"] = table["fees"]
    shown["bars_held"] = leave - entry
    shown["exit_reason"] = [EXIT_REASONS[int(reason)] for reason in table["exit_reason"]]
    return pd.Series(equity, index=index, name="equity"), shown
