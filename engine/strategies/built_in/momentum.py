"""Time-series momentum."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import roc
from engine.strategies.signals import side_of


class Params(NamedTuple):
    """Lookback in bars; threshold as a return over it."""

    lookback: int
    threshold: float = 0.0

    def warmup_bars(self) -> int:
        return self.lookback

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((self.lookback >= 1, "lookback >= 1"), (self.threshold >= 0, "threshold >= 0"))


@strategy
def momentum(bars: Bars, p: Params) -> Array:
    """Long when the return over `lookback` bars is above `threshold`, short when below -`threshold`, else flat."""
    return side_of(roc(bars.close, p.lookback), p.threshold)
