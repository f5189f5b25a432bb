"""A strategy whose every decision comes some bars later."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        return self._later(super().answer(bars, params))

    def answer_all(self, instruments: tuple[Bars, ...], params: Any) -> Answer:
        """Weights and levels, later; those of a strategy for one instrument are made of answers that are."""
        found = super().answer_all(instruments, params)
        return self._later(found) if self.joint else found

    def _later(self, found: Answer) -> Answer:
        target, moving = np.zeros_like(found.target), np.full_like(found.moving, np.nan)
        target[self._bars :] = found.target[: len(target) - self._bars]
        moving[..., self._bars :] = found.moving[..., : moving.shape[-1] - self._bars]
        return Answer(target, moving)
