"""Channel breakout."""

from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import highest, lowest
from engine.strategies.signals import latch_channels


class Params(NamedTuple):
    """Channel lengths in bars."""

    entry_window: int
    exit_window: int

    def warmup_bars(self) -> int:
        return 4 * max(self.entry_window, self.exit_window)

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((self.entry_window >= 1, "entry_window >= 1"), (self.exit_window >= 1, "exit_window >= 1"))


@strategy
def donchian_breakout(bars: Bars, p: Params) -> Array:
    """Long from a close above the highest high of `entry_window` until one below the lowest low of `exit_window`."""
    return latch_channels(bars.close, highest(bars.high, p.entry_window), lowest(bars.low, p.exit_window))
