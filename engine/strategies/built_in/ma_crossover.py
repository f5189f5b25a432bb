"""Moving-average crossover."""

from typing import Any, Literal, NamedTuple

from engine.compiled.arrays import Array
from engine.compiled.shared import for_each
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import ema, sma
from engine.strategies.signals import above, above_each, mean_above


class Params(NamedTuple):
    """Windows in bars."""

    fast_window: int
    slow_window: int
    ma_type: Literal["sma", "ema"] = "sma"

    def warmup_bars(self) -> int:
        return self.slow_window if self.ma_type == "sma" else 8 * self.slow_window

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.fast_window >= 1, "fast_window >= 1"),
            (self.fast_window < self.slow_window, "fast_window < slow_window"),
        )


@strategy
def ma_crossover(bars: Bars, p: Params) -> Array:
    """Long while the fast mean of the closes is above the slow one, else flat."""
    if p.ma_type == "sma":
        return mean_above(bars.close, p.fast_window, p.slow_window)
    return above(ema(bars.close, p.fast_window), ema(bars.close, p.slow_window))


@ma_crossover.for_many
def crossovers(bars: Bars, p: Any) -> Any:
    """The same for many pairs of windows; each mean is computed once."""
    mean = sma if p.ma_type == "sma" else ema
    return above_each(for_each(mean, bars.close, p.fast_window), for_each(mean, bars.close, p.slow_window))
