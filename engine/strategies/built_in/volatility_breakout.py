"""Breakout by a multiple of the average true range."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import atr, sma
from engine.strategies.signals import breakout


class Params(NamedTuple):
    """Periods in bars, multiple in average true ranges."""

    mean_window: int
    atr_period: int
    multiple: float

    def warmup_bars(self) -> int:
        return max(self.mean_window, 16 * self.atr_period) + 1

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.mean_window >= 1, "mean_window >= 1"),
            (self.atr_period >= 1, "atr_period >= 1"),
            (self.multiple > 0, "multiple > 0"),
        )


@strategy
def volatility_breakout(bars: Bars, p: Params) -> Array:
    """Long from a close above the mean plus `multiple` average true ranges until one below the mean."""
    width = atr(bars.high, bars.low, bars.close, p.atr_period)
    return breakout(bars.close, sma(bars.close, p.mean_window), width, p.multiple)
