"""Trend following on the moving average convergence divergence."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import macd
from engine.strategies.signals import above


class Params(NamedTuple):
    """Spans in bars."""

    fast_span: int
    slow_span: int
    signal_span: int

    def warmup_bars(self) -> int:
        return 8 * (self.slow_span + self.signal_span)

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.fast_span >= 1, "fast_span >= 1"),
            (self.fast_span < self.slow_span, "fast_span < slow_span"),
            (self.signal_span >= 1, "signal_span >= 1"),
        )


@strategy
def macd_trend(bars: Bars, p: Params) -> Array:
    """Long while the MACD line is above its signal line, else flat."""
    line, signal = macd(bars.close, p.fast_span, p.slow_span, p.signal_span)
    return above(line, signal, bars.close)
