"""The winner's backtests for a reader: one over all searched bars, one over the hold-out, with equity and trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.bars import Bars, slice_bars
from optim.plan import Plan

if TYPE_CHECKING:
    from engine.backtest import BacktestResult


def backtests(plan: Plan, params: Mapping[str, Any]) -> tuple[BacktestResult | None, BacktestResult | None]:
    """The searched bars and the hold-out, each from fresh capital; None where there is nothing to show.

    With several instruments the first is shown; a portfolio is not.
    """
    if plan.spec.portfolio:
        return None, None
    bars = plan.job.instruments[0]
    n_bars = len(bars.close)
    stop = plan.holdouts[0].start if plan.holdouts else n_bars
    searched = _backtest(plan, params, bars, (0, stop))
    return searched, _backtest(plan, params, bars, (stop, n_bars)) if stop < n_bars else None


def _backtest(plan: Plan, params: Mapping[str, Any], bars: Bars, window: tuple[int, int]) -> BacktestResult:
    """One window; its signal has seen the bars before it, as in a cell of the search."""
    from engine.backtest import BacktestEngine

    start, stop = window
    task = plan.task(params, ())
    seen = slice_bars(bars, 0, stop)
    target = plan.strategy.target(seen, plan.strategy.bind(task.params))[start:]

    def signal(frame: pd.DataFrame, _: Mapping[str, Any]) -> Any:
        return pd.Series(target, index=frame.index)

    signal.__name__ = plan.strategy.name
    engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **task.account._asdict())
    return engine.run_realistic(slice_bars(bars, start, stop), signal, task.params)
