"""A trend with stops that move: what an own strategy looks like that sets its levels at every bar."""

from typing import NamedTuple

from engine import Bars, Signal, above, atr, sma, strategy


class Params(NamedTuple):
    """Windows in bars; widths in average true ranges."""

    window: int
    atr_window: int
    stop_width: float
    trailing_width: float

    def warmup_bars(self) -> int:
        return max(self.window, self.atr_window + 1)


@strategy
def atr_trend(bars: Bars, p: Params) -> Signal:
    """Long above the mean; out below the last close less `stop_width` ranges, or so far from the best price."""
    width = atr(bars.high, bars.low, bars.close, p.atr_window)
    return Signal(
        above(bars.close, sma(bars.close, p.window)),
        stop=bars.close - p.stop_width * width,
        trailing=p.trailing_width * width,
    )
