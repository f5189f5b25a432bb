"""What the last `window` values of every bar come to, in one pass over the bars however long the window is.

Every window that ends in the block s <= t < s + window holds values[s]: it is the end of what lies before the block and
the beginning of the block. Both are summed from values[s] on, away from it, as distances from it. Nothing is ever
subtracted from a sum, so nothing drifts, and no old value leaves a trace; what stands still has distances of 0. As
values[s] is one of the window's own, it is at most sqrt(window) deviations from the mean: a deviation is off by a few
units in the last digit, at the very worst (one far value among equal ones) by window ** 2 of them, 3e-10 of it over
3,000 bars. `python -m benchmarks engine_indicators` has the times.

Every function fills out[window - 1:] for `values` without NaN, shape (n_bars,), and is given scratch with as many
places as a window, or as there are bars if they are fewer.
"""

from __future__ import annotations

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner


@inner
def means(values: Array, window: int, tails: Array, out: Array) -> None:
    """The means."""
    share = 1.0 / window
    tails[-1] = 0.0
    for s in range(window - 1, len(values), window):
        anchor, tail, head = 1.0 * values[s], 0.0, 0.0
        before, block, found = values[s - window + 1 : s], values[s : s + window], out[s : s + window]
        for i in range(window - 2, -1, -1):
            tail += before[i] - anchor
            tails[i] = tail
        for i in range(len(block)):
            head += block[i] - anchor
            found[i] = anchor + (tails[i] + head) * share


@inner
def spreads(values: Array, window: int, tails: Array, squares: Array, mean: Array, out: Array) -> None:
    """The sums of the squared distances from the mean, which fills `mean` as `out` is filled; squares: as `tails`."""
    share = 1.0 / window
    tails[-1], squares[-1] = 0.0, 0.0
    for s in range(window - 1, len(values), window):
        anchor, tail, square = 1.0 * values[s], 0.0, 0.0
        before, block = values[s - window + 1 : s], values[s : s + window]
        centre, found = mean[s : s + window], out[s : s + window]
        for i in range(window - 2, -1, -1):
            distance = before[i] - anchor
            tail += distance
            square += distance * distance
            tails[i], squares[i] = tail, square
        tail, square = 0.0, 0.0
        for i in range(len(block)):
            distance = block[i] - anchor
            tail += distance
            square += distance * distance
            total = tails[i] + tail
            centre[i] = anchor + total * share
            around = squares[i] + square - total * (total * share)
            found[i] = 0.0 if around < 0.0 else around  # as it may be where squares are too small for a float


@inner
def weighted_means(values: Array, window: int, tails: Array, out: Array) -> None:
    """Linearly weighted means: the newest value weighs `window`, the oldest 1."""
    share = 2.0 / (window * (window + 1.0))
    tails[-1] = 0.0
    for s in range(window - 1, len(values), window):
        anchor, once, weighted = 1.0 * values[s], 0.0, 0.0
        before, block, found = values[s - window + 1 : s], values[s : s + window], out[s : s + window]
        for i in range(window - 2, -1, -1):
            once += before[i] - anchor
            weighted += once
            tails[i] = weighted
        once, weighted = 0.0, 0.0
        for i in range(len(block)):
            once += block[i] - anchor
            weighted += (i + 1.0) * (block[i] - anchor)
            found[i] = anchor + (tails[i] + (window - 1.0 - i) * once + weighted) * share


@inner
def extremes(values: Array, window: int, sign: float, tails: Array, out: Array) -> None:
    """The largest of sign * values, times sign.

    van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels", 1992.
    """
    tails[-1] = -np.inf
    for s in range(window - 1, len(values), window):
        tail, head = -np.inf, -np.inf
        before, block, found = values[s - window + 1 : s], values[s : s + window], out[s : s + window]
        for i in range(window - 2, -1, -1):
            tail = max(tail, sign * before[i])
            tails[i] = tail
        for i in range(len(block)):
            head = max(head, sign * block[i])
            found[i] = sign * max(tails[i], head)
