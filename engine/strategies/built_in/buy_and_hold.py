"""The benchmark."""

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import strategy


class Params(NamedTuple):
    """Exposure in [0, 1]."""

    exposure: float = 1.0

    def warmup_bars(self) -> int:
        return 0

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((0 <= self.exposure <= 1, "0 <= exposure <= 1"),)


@strategy
def buy_and_hold(bars: Bars, p: Params) -> Array:
    """Bought once, never sold."""
    return np.full(len(bars.close), p.exposure)
