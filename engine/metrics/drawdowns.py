"""Falls of the equity below its running peak: how deep, how long, how many."""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.compiled.sums import LANES, join

STRIDE = 64  # bars looked at together while under water: one question, seldom answered otherwise than before


class Drawdowns(NamedTuple):
    """Sums over all drawdowns; one that the equity has not left counts too."""

    deepest: float
    longest: float
    n: float
    bars_under: float
    squares: float  # of equity / peak - 1; NaN where they are not wanted


@inner
def drawdowns(equity: Array, initial_cash: float, squared: bool, room: Array) -> Drawdowns:
    """One division a drawdown, at its end, instead of one a bar: the peak is the same throughout; room: (ROOM,)."""
    peak, deepest = initial_cash, 0.0
    t, longest, count, under = 0, 0, 0, 0
    for i in range(LANES):
        room[i] = 0.0
    while t < len(equity):
        if equity[t] >= peak:
            peak = equity[t]
            t += 1
            continue
        stop, trough = under_water(equity, t, peak)
        if squared:
            add_squares(equity[t:stop], peak, room)
        deepest = min(deepest, trough / peak - 1.0)
        longest = max(longest, stop - t)
        count += 1
        under += stop - t
        t = stop
    return Drawdowns(deepest, float(longest), float(count), float(under), join(room, 0) if squared else math.nan)


@inner
def under_water(equity: Array, start: int, peak: float) -> tuple[int, float]:
    """The first bar from `start` on that is back at the peak, n_bars if none is; and the lowest equity before it."""
    t, trough = start, peak
    while t + STRIDE <= len(equity):
        block, n_back = equity[t : t + STRIDE], 0
        for i in range(STRIDE):
            n_back += block[i] >= peak
        if n_back > 0:
            break
        a, b, c, d = trough, trough, trough, trough
        for i in range(0, STRIDE, 4):
            a = min(a, block[i])
            b = min(b, block[i + 1])
            c = min(c, block[i + 2])
            d = min(d, block[i + 3])
        trough = min(min(a, b), min(c, d))
        t += STRIDE
    while t < len(equity) and not equity[t] >= peak:
        trough = min(trough, equity[t])
        t += 1
    return t, trough


@inner
def add_squares(equity: Array, peak: float, room: Array) -> None:
    """Add the squares of equity / peak - 1 to the LANES running sums in front of `room`."""
    share = 1.0 / peak
    whole = len(equity) // LANES * LANES
    for t in range(0, whole, LANES):
        for i in range(LANES):
            depth = (equity[t + i] - peak) * share
            room[i] += depth * depth
    for t in range(whole, len(equity)):
        depth = (equity[t] - peak) * share
        room[t - whole] += depth * depth
