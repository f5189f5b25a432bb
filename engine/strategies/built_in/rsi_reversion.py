"""Mean reversion on the relative strength index."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import rsi
from engine.strategies.signals import latch_below


class Params(NamedTuple):
    """Period in bars, levels on the index's scale of 0 to 100."""

    period: int
    oversold: float
    overbought: float

    def warmup_bars(self) -> int:
        return 16 * self.period  # Wilder's smoothing has forgotten 1 - 1e-7 of its start by then

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.period >= 2, "period >= 2"),
            (0 <= self.oversold < self.overbought <= 100, "0 <= oversold < overbought <= 100"),
        )


@strategy
def rsi_reversion(bars: Bars, p: Params) -> Array:
    """Long from the index falling below `oversold` until it rises above `overbought`."""
    return latch_below(rsi(bars.close, p.period), p.oversold, p.overbought)
