"""Pairs trading on the z-score of the log price ratio of two instruments."""

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy
from engine.strategies.indicators import sma, std
from engine.strategies.signals import fade_bands


class Params(NamedTuple):
    """Window in bars, levels in standard deviations."""

    window: int
    entry: float
    exit: float

    def warmup_bars(self) -> int:
        return self.window

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((self.window >= 2, "window >= 2"), (0 <= self.exit < self.entry, "0 <= exit < entry"))


@strategy
def zscore_pairs(pair: tuple[Bars, Bars], p: Params) -> Array:
    """Half the equity each way: long the first and short the second when their ratio is low, else reversed."""
    first, second = pair
    ratio = np.log(first.close / second.close)
    centre, width = sma(ratio, p.window), std(ratio, p.window)
    side = fade_bands(ratio, centre, width, p.entry, p.exit, np.ones(len(ratio)))
    return np.stack([0.5 * side, -0.5 * side], axis=1)
