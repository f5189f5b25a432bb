"""Sums over long arrays, in LANES running sums side by side.

An addition waits for the one before it in its own sum, not for its neighbours': the compiler makes vector instructions
of the inner loops, several times as fast as one running sum, and the order of the additions is the same everywhere.
`python -m benchmarks engine_sweep` shows what it brings.
"""

from __future__ import annotations

from engine.compiled.arrays import Array
from engine.compiled.jit import inner

LANES = 64
ROOM = 4 * LANES  # floats of scratch that every function here is given as `room`


@inner
def join(room: Array, first: int) -> float:
    """The sum of the LANES running sums from room[first] on."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(first, first + LANES, 4):
        a += room[i]
        b += room[i + 1]
        c += room[i + 2]
        d += room[i + 3]
    return (a + b) + (c + d)


@inner
def sum_of(values: Array, room: Array) -> float:
    """The sum of all values."""
    for i in range(LANES):
        room[i] = 0.0
    whole = len(values) // LANES * LANES
    for t in range(0, whole, LANES):
        for i in range(LANES):
            room[i] += values[t + i]
    for t in range(whole, len(values)):
        room[t - whole] += values[t]
    return join(room, 0)


@inner
def sum_below(values: Array, m: int, bound: float, room: Array) -> float:
    """The sum of those of values[:m] that are smaller than the bound."""
    for i in range(LANES):
        room[i] = 0.0
    whole = m // LANES * LANES
    for t in range(0, whole, LANES):
        for i in range(LANES):
            room[i] += values[t + i] if values[t + i] < bound else 0.0
    for t in range(whole, m):
        room[t - whole] += values[t] if values[t] < bound else 0.0
    return join(room, 0)


@inner
def count_below(values: Array, m: int, bound: float) -> int:
    """How many of values[:m] are smaller than the bound."""
    some, n = values[:m], 0
    for t in range(len(some)):
        n += some[t] < bound
    return n


@inner
def least(values: Array, m: int) -> float:
    """The smallest of values[:m], m > 0."""
    a, b, c, d = values[0], values[0], values[0], values[0]
    whole = m // 4 * 4
    for t in range(0, whole, 4):
        a = min(a, values[t])
        b = min(b, values[t + 1])
        c = min(c, values[t + 2])
        d = min(d, values[t + 3])
    for t in range(whole, m):
        a = min(a, values[t])
    return float(min(min(a, b), min(c, d)))


@inner
def squares_around(values: Array, mean: float, room: Array) -> float:
    """The sum of the squared distances from `mean`."""
    return products_around(values, mean, values, mean, room)


@inner
def products_around(left: Array, mean_left: float, right: Array, mean_right: float, room: Array) -> float:
    """The sum of the products of the distances from the means; the arrays are equally long."""
    for i in range(LANES):
        room[i] = 0.0
    whole = len(left) // LANES * LANES
    for t in range(0, whole, LANES):
        for i in range(LANES):
            room[i] += (left[t + i] - mean_left) * (right[t + i] - mean_right)
    for t in range(whole, len(left)):
        room[t - whole] += (left[t] - mean_left) * (right[t] - mean_right)
    return join(room, 0)


@inner
def sum_returns(equity: Array, returns: Array, room: Array) -> tuple[float, float, float, float]:
    """Fill returns[1:] from equity, both of shape (n_bars,); 0 once nothing is left. In one pass: memory is slow.

    Returns the sums of the equity, of the positive returns, of the negative ones, and of the squares of the negative
    ones, returns[0] included.
    """
    for i in range(4 * LANES):
        room[i] = 0.0
    room[0] = equity[0]
    room[LANES] = max(returns[0], 0.0)
    room[2 * LANES] = min(returns[0], 0.0)
    room[3 * LANES] = room[2 * LANES] * room[2 * LANES]
    later, earlier, changes = equity[1:], equity[:-1], returns[1:]
    whole = len(changes) // LANES * LANES
    for t in range(0, whole, LANES):
        for i in range(LANES):
            before = earlier[t + i]
            changes[t + i] = later[t + i] / before - 1.0 if before > 0.0 else 0.0
        for i in range(LANES):
            fall = min(changes[t + i], 0.0)
            room[i] += later[t + i]
            room[LANES + i] += max(changes[t + i], 0.0)
            room[2 * LANES + i] += fall
            room[3 * LANES + i] += fall * fall
    for t in range(whole, len(changes)):
        changes[t] = later[t] / earlier[t] - 1.0 if earlier[t] > 0.0 else 0.0
        fall = min(changes[t], 0.0)
        room[t - whole] += later[t]
        room[t - whole + LANES] += max(changes[t], 0.0)
        room[t - whole + 2 * LANES] += fall
        room[t - whole + 3 * LANES] += fall * fall
    return join(room, 0), join(room, LANES), join(room, 2 * LANES), join(room, 3 * LANES)
