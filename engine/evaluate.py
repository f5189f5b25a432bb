"""One trial on one cell, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.account import Account, make_rules
from engine.bars import Bars, slice_bars
from engine.cells import Cell
from engine.errors import EngineError
from engine.metrics import metrics_of
from engine.simulate import simulate
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
        first = max(cell.start - strategy.warmup_bars(bound), 0)
        target = strategy.target(slice_bars(bars, first, cell.stop), bound)[cell.start - first :]
        traded = slice_bars(bars, cell.start, cell.stop)
        run = simulate(traded, target, rules)
        return Outcome(metrics_of(traded, run, rules.initial_cash, periods_per_year), "")
    except EngineError as error:
        return Outcome({}, str(error))
    except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything; the trial fails, the study goes on
        return Outcome({}, f"{strategy.name} raised {type(error).__name__}: {error}")
