"""Mean reversion on Bollinger bands."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import sma, std
from engine.strategies.signals import fade_bands


class Params(NamedTuple):
    """Window in bars, widths in standard deviations."""

    window: int
    entry_width: float
    exit_width: float

    def warmup_bars(self) -> int:
        return self.window

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.window >= 2, "window >= 2"),
            (0 <= self.exit_width < self.entry_width, "0 <= exit_width < entry_width"),
        )


@strategy
def bollinger_reversion(bars: Bars, p: Params) -> Array:
    """Long below the lower band until the close is back within `exit_width` of the mean; short above the upper band."""
    close = bars.close
    return fade_bands(close, sma(close, p.window), std(close, p.window), p.entry_width, p.exit_width)
