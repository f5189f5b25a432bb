"""Volatility target: how much exposure a target of 1 stands for at each bar."""

from __future__ import annotations

import math

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import kernel
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
    n = len(close)
    scale = np.zeros(n)
    for t in range(window, n):
        mean = 0.0
        for i in range(t - window + 1, t + 1):
            mean += close[i] / close[i - 1] - 1.0
        mean /= window
        squares = 0.0
        for i in range(t - window + 1, t + 1):
            deviation = close[i] / close[i - 1] - 1.0 - mean
            squares += deviation * deviation
        deviation = math.sqrt(squares / (window - 1))
        if deviation > 0.0:
            scale[t] = per_bar / deviation
    return scale
