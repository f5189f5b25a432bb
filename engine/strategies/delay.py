"""A strategy whose every decision comes some bars later."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.base import Strategy
from engine.strategies.levels import Answer


class Delayed(Strategy):
    """The strategy with its target, or its weights, so many bars later; before the first decision it holds nothing."""

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy.signal, compiled=strategy.compiled)
        self._bars = bars

    def warmup_bars(self, params: Any) -> int:
        """As many more."""
        return super().warmup_bars(params) + self._bars

    def answer(self, bars: Bars, params: Any) -> Answer:
        """Target and levels, later."""
        target, moving = super().answer(bars, params)
        late = np.full_like(moving, np.nan)
        late[:, self._bars :] = moving[:, : moving.shape[1] - self._bars]
        return Answer(self._later(target), late)

    def weights(self, instruments: tuple[Bars, ...], params: Any) -> Array:
        """The weights, later; those of a strategy for one instrument are made of targets that are."""
        found = super().weights(instruments, params)
        return self._later(found) if self.joint else found

    def _later(self, found: Array) -> Array:
        late = np.zeros_like(found)
        late[self._bars :] = found[: len(found) - self._bars]
        return late
