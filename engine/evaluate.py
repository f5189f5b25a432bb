"""One trial on one cell, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.account import Account, Rules, make_rules
from engine.arrays import Array
from engine.bars import Bars, slice_bars
from engine.cells import Cell
from engine.errors import EngineError
from engine.jit import kernel
from engine.metrics import as_metrics, measure
from engine.simulate import simulate
from engine.sizing import volatility_scale
from engine.strategy import Strategy


class Outcome(NamedTuple):
    """Metrics by name, finite or NaN; or none and one sentence that says what went wrong."""

    metrics: dict[str, float]
    error: str


def evaluate(
    strategy: Strategy,
    params: Mapping[str, Any],
    account: Account,
    instruments: tuple[Bars, ...],
    cell: Cell,
    periods_per_year: float,
) -> Outcome:
    """Backtest one cell from fresh capital; reads its arguments only, writes nothing, never raises.

    The signal is computed on bars[start - warm-up : stop], the simulation sees bars[start:stop].
    """
    try:
        rules = make_rules(account)
        bound = strategy.bind(params)
        bars = instruments[cell.instrument]
        warm = warmup_start(strategy.warmup_bars(bound), account, cell.start)
        seen = slice_bars(bars, warm, cell.stop)
        target = strategy.target(seen, bound)
        scale = volatility_scale(seen.close, account, periods_per_year)
        return Outcome(as_metrics(score(seen, cell.start - warm, target, scale, rules, periods_per_year, True)), "")
    except EngineError as error:
        return Outcome({}, str(error))
    except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything; the trial fails, the study goes on
        return Outcome({}, f"{strategy.name} raised {type(error).__name__}: {error}")


def warmup_start(warmup_bars: int, account: Account, start: int) -> int:
    """The first bar that signal and sizing need to see for a cell that begins at bar `start`."""
    if account.volatility_target > 0:
        warmup_bars = max(warmup_bars, account.volatility_window)
    return max(start - warmup_bars, 0)


@kernel
def score(
    bars: Bars, first: int, target: Array, scale: Array, rules: Rules, periods_per_year: float, tails: bool
) -> Array:
    """Simulate and measure bars[first:] in one step; target and scale, shape (n_bars,), include the warm-up."""
    traded = Bars(
        bars.timestamp[first:],
        bars.open[first:],
        bars.high[first:],
        bars.low[first:],
        bars.close[first:],
        bars.volume[first:],
    )
    run = simulate(traded, target[first:], scale[first:], rules)
    return measure(traded.timestamp, traded.close, run, rules.initial_cash, periods_per_year, tails)
