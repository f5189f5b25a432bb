"""Two ways to see a trend; each has parameters of its own."""

from typing import Literal, NamedTuple

import numpy as np

from engine import Bars, above, highest, latch_channels, lowest, sma, strategy


class Params(NamedTuple):
    """Windows in bars; those of the way not taken stay at their defaults."""

    by: Literal["mean", "channel"]
    mean_window: int = 1
    entry_window: int = 1
    exit_window: int = 1

    def warmup_bars(self) -> int:
        return 4 * max(self.mean_window, self.entry_window, self.exit_window)


@strategy
def trend_by(bars: Bars, p: Params) -> np.ndarray:
    """Long above the mean, or from a new high of the entry channel to a new low of the exit channel."""
    if p.by == "mean":
        return above(bars.close, sma(bars.close, p.mean_window))
    return latch_channels(bars.close, highest(bars.high, p.entry_window), lowest(bars.low, p.exit_window))
