"""Volatility target: how much exposure a target of 1 stands for at each bar."""

from __future__ import annotations

import math

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import kernel
from engine.compiled.windows import spreads
from engine.simulator.account import Account

NO_SCALE: Array = np.empty(0)


def volatility_scale(close: Array, account: Account, periods_per_year: float) -> Array:
    """volatility_target / annualised volatility of the last volatility_window returns, shape (n_bars,).

    0 where that is unknown or zero; empty when the rule is off.
    """
    if account.volatility_target == 0:
        return NO_SCALE
    return scale_of(close, account.volatility_window, account.volatility_target / math.sqrt(periods_per_year))


@kernel
def scale_of(close: Array, window: int, per_bar: float) -> Array:
    """per_bar / standard deviation (ddof 1) of the last `window` close-to-close returns; shape (n_bars,)."""
    scale, returns = np.zeros(len(close)), np.empty(max(len(close) - 1, 0))
    for t in range(1, len(close)):
        returns[t - 1] = close[t] / close[t - 1] - 1.0
    room = max(min(window, len(returns)), 1)
    tails, mean, squares = np.empty((2, room)), np.empty(len(returns)), np.zeros(len(returns))
    spreads(returns, window, tails[0], tails[1], mean, squares)
    for t in range(window, len(close)):
        deviation = math.sqrt(squares[t - 1] / (window - 1))
        if deviation > 0.0:
            scale[t] = per_bar / deviation
    return scale
