"""What a strategy answers: a target exposure, and the prices at which it wants to be let in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.errors import StrategyError
from engine.simulator.moving import BREAK_AT, LIMIT_AT, N_MOVING

NO_LEVELS: Array = np.empty((0, 0))


class Signal(NamedTuple):
    """A target exposure with levels that move; each an array of shape (n_bars,), or None for none.

    A level of bar t is known at its close and in force in bar t + 1; NaN is none. docs/engine.md has the exact rules.
    """

    target: Any  # in [-1, 1]
    stop: Any = None  # a price: beyond it the position is closed by a market order
    take_profit: Any = None  # a price: there it is closed by a limit order
    trailing: Any = None  # a distance from the best price since the entry, in the same unit as prices
    entry_limit: Any = None  # a price: the position is opened there, or better, not at the open
    entry_stop: Any = None  # a price: the position is opened once it is passed


class Answer(NamedTuple):
    """A signal as the simulator takes it."""

    target: Array  # (n_bars,)
    moving: Array  # (N_MOVING, n_bars), rows as in engine.simulator.moving; (0, 0) for none


def as_answer(name: str, given: Any, shaped: Callable[[Any], Array]) -> Answer:
    """What a strategy returned; shaped: makes an array of shape (n_bars,) of one of its parts.

    Raises StrategyError naming the bar and the level that is no price.
    """
    if not isinstance(given, Signal):
        return Answer(shaped(given), NO_LEVELS)
    target, levels = shaped(given.target), given[1:]
    if all(level is None for level in levels):
        return Answer(target, NO_LEVELS)
    moving = np.full((N_MOVING, len(target)), np.nan)
    for row, (field, level) in enumerate(zip(Signal._fields[1:], levels, strict=True)):
        if level is None:
            continue
        moving[row] = shaped(level)
        usable = np.isnan(moving[row]) | ((moving[row] > 0.0) & (moving[row] < np.inf))
        if not usable.all():
            bar = int(usable.argmin())
            raise StrategyError(
                f"{name}: {field} at bar {bar} is {moving[row, bar]}, must be above 0 and finite, or NaN for none"
            )
    both = ~np.isnan(moving[LIMIT_AT]) & ~np.isnan(moving[BREAK_AT])
    if both.any():
        raise StrategyError(f"{name}: bar {int(both.argmax())} has entry_limit and entry_stop; give one of them")
    return Answer(target, moving)
