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
def mean_above(values: Array, fast: int, slow: int) -> Array:
    """above(sma(values, fast), sma(values, slow)) in one pass, fast < slow; shape (n_bars,)."""
    n = len(values)
    target = np.empty(n)
    target[: slow - 1] = 0.0
    if n < slow:
        return target
    total, late = 0.0, 0.0  # of the last `slow` and of the last `fast` values
    for t in range(slow - fast):
        total += values[t]
    for t in range(slow - fast, slow):
        late += values[t]
    total += late
    share, late_share = 1.0 / slow, 1.0 / fast
    target[slow - 1] = 1.0 if late * late_share > total * share else 0.0
    new, old, old_late, out = values[slow:], values[: n - slow], values[slow - fast : n - fast], target[slow:]
    for i in range(len(out)):
        total += new[i] - old[i]
        late += new[i] - old_late[i]
        out[i] = 1.0 if late * late_share > total * share else 0.0
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


@kernel
def fade(score: Array, enter: float, leave: float) -> Array:
    """1.0 from score < -enter until score >= -leave, -1.0 from score > enter until score <= leave."""
    target = np.zeros(len(score))
    held = 0.0
    for t in range(len(score)):
        if (held > 0.0 and score[t] >= -leave) or (held < 0.0 and score[t] <= leave):
            held = 0.0
        if score[t] < -enter:
            held = 1.0
        elif score[t] > enter:
            held = -1.0
        target[t] = held
    return target


@kernel
def breakout(close: Array, centre: Array, width: Array, multiple: float) -> Array:
    """1.0 from close > centre + multiple * width, both of the previous bar, until close < centre; shape (n_bars,)."""
    target = np.zeros(len(close))
    held = 0.0
    for t in range(1, len(close)):
        if close[t] > centre[t - 1] + multiple * width[t - 1]:
            held = 1.0
        elif close[t] < centre[t - 1]:
            held = 0.0
        target[t] = held
    return target


@kernel
def side_of(values: Array, threshold: float) -> Array:
    """1.0 where value > threshold, -1.0 where value < -threshold, else 0.0; shape (n_bars,)."""
    target = np.zeros(len(values))
    for t in range(len(values)):
        if values[t] > threshold:
            target[t] = 1.0
        elif values[t] < -threshold:
            target[t] = -1.0
    return target
