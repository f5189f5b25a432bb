"""Building blocks of strategies: indicators -> target exposure. Compiled, causal, NaN counts as 'no'."""

from __future__ import annotations

import numpy as np

from engine.arrays import Array
from engine.jit import kernel


@kernel
def above(left: Array, right: Array) -> Array:
    """1.0 where left > right, else 0.0; shape (n_bars,)."""
    target = np.zeros(len(left))
    for t in range(len(left)):
        if left[t] > right[t]:
            target[t] = 1.0
    return target


@kernel
def latch_below(values: Array, enter: float, leave: float) -> Array:
    """1.0 from values < enter until values > leave; shape (n_bars,)."""
    target = np.zeros(len(values))
    held = 0.0
    for t in range(len(values)):
        if values[t] < enter:
            held = 1.0
        elif values[t] > leave:
            held = 0.0
        target[t] = held
    return target


@kernel
def latch_channels(close: Array, enter: Array, leave: Array) -> Array:
    """1.0 from close > the previous bar's `enter` until close < the previous bar's `leave`; shape (n_bars,)."""
    target = np.zeros(len(close))
    held = 0.0
    for t in range(1, len(close)):
        if close[t] > enter[t - 1]:
            held = 1.0
        elif close[t] < leave[t - 1]:
            held = 0.0
        target[t] = held
    return target
