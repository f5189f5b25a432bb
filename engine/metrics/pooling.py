"""Metrics of several cells -> metrics of all of them, each by its own rule (Metric.over_cells)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from engine.metrics.catalogue import METRICS, bounded

Cells = Sequence[Mapping[str, float]]
Aggregate = Literal["mean", "median", "min"]  # min: the worst cell


def over_cells(name: str, cells: Cells, aggregate: Aggregate = "mean") -> float:
    """One metric over cells that each have all metrics; NaN only where no cell defines it.

    aggregate: what "mean" metrics are; "median" and "min" hold for "pooled" ones too.
    """
    if len(cells) == 1:
        return cells[0][name]
    metric = METRICS[name]
    if metric.over_cells == "pooled" and aggregate == "mean":
        return _POOLED[name](cells)
    values = [value for cell in cells if (value := cell[name]) == value]
    if not values:
        return math.nan
    if metric.over_cells == "sum":
        return total(values)
    if metric.over_cells in ("lowest", "highest"):
        return min(values) if metric.over_cells == "lowest" else max(values)
    return combine(values, aggregate, metric.direction)


def total(values: Iterable[float]) -> float:
    """The exact sum; NaN where it is beyond a float."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.nan


def combine(values: Sequence[float], aggregate: Aggregate, direction: str) -> float:
    """Mean, median or worst of numbers; NaN if one of them is."""
    if len(values) == 1:
        return values[0]
    if any(map(math.isnan, values)):
        return math.nan
    if aggregate == "mean":
        return total(values) / len(values)
    if aggregate == "median":
        return statistics.median(values)
    return min(values) if direction == "maximize" else max(values)


def _per_trade(name: str) -> Callable[[Cells], float]:
    """A mean over trades: every cell weighs as many as it has."""

    def pooled(cells: Cells) -> float:
        traded = [cell for cell in cells if cell["n_trades"] > 0]
        if not traded:
            return math.nan
        return total(c[name] * c["n_trades"] for c in traded) / total(c["n_trades"] for c in traded)

    return pooled


def _sum(name: str, cells: Cells) -> float:
    return total(cell[name] for cell in cells)


def _wins(cells: Cells) -> int:
    return sum(round(cell["win_rate"] * cell["n_trades"]) for cell in cells if cell["n_trades"] > 0)


def _profit_factor(cells: Cells) -> float:
    return bounded(_sum("gross_profit", cells), -_sum("gross_loss", cells))


def _payoff_ratio(cells: Cells) -> float:
    n_trades, wins = _sum("n_trades", cells), _wins(cells)
    if n_trades == 0 or wins == 0:
        return 0.0 if n_trades else math.nan
    lost = -_sum("gross_loss", cells) / (n_trades - wins) if wins < n_trades else 0.0
    return bounded(_sum("gross_profit", cells) / wins, lost)


def _expectancy_ratio(cells: Cells) -> float:
    return (1.0 + _payoff_ratio(cells)) * _per_trade("win_rate")(cells) - 1.0


def _kelly(cells: Cells) -> float:
    win_rate = _per_trade("win_rate")(cells)
    return win_rate - bounded(1.0 - win_rate, _payoff_ratio(cells))


_POOLED: dict[str, Callable[[Cells], float]] = {
    **{name: _per_trade(name) for name in ("win_rate", "expectancy", "avg_trade_return", "avg_holding_bars")},
    "profit_factor": _profit_factor,
    "payoff_ratio": _payoff_ratio,
    "expectancy_ratio": _expectancy_ratio,
    "kelly": _kelly,
}
