"""Sums over long arrays. An addition waits for the one before; several sums side by side do not wait for each other."""

from __future__ import annotations

from engine.arrays import Array
from engine.jit import inner


@inner
def sum_of(values: Array) -> float:
    """The sum of all values."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = len(values) // 4 * 4
    for t in range(0, whole, 4):
        a += values[t]
        b += values[t + 1]
        c += values[t + 2]
        d += values[t + 3]
    for t in range(whole, len(values)):
        a += values[t]
    return (a + b) + (c + d)


@inner
def squares_around(values: Array, mean: float) -> float:
    """The sum of the squared distances from `mean`."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = len(values) // 4 * 4
    for t in range(0, whole, 4):
        a += (values[t] - mean) * (values[t] - mean)
        b += (values[t + 1] - mean) * (values[t + 1] - mean)
        c += (values[t + 2] - mean) * (values[t + 2] - mean)
        d += (values[t + 3] - mean) * (values[t + 3] - mean)
    for t in range(whole, len(values)):
        a += (values[t] - mean) * (values[t] - mean)
    return (a + b) + (c + d)


@inner
def split_sums(values: Array) -> tuple[float, float, float]:
    """The sum of the positive values, of the negative ones, and of the squares of the negative ones."""
    gains, losses, squares = 0.0, 0.0, 0.0
    gains_odd, losses_odd, squares_odd = 0.0, 0.0, 0.0
    whole = len(values) // 2 * 2
    for t in range(0, whole, 2):
        fall, fall_odd = min(values[t], 0.0), min(values[t + 1], 0.0)
        gains += max(values[t], 0.0)
        gains_odd += max(values[t + 1], 0.0)
        losses += fall
        losses_odd += fall_odd
        squares += fall * fall
        squares_odd += fall_odd * fall_odd
    for t in range(whole, len(values)):
        fall = min(values[t], 0.0)
        gains += max(values[t], 0.0)
        losses += fall
        squares += fall * fall
    return gains + gains_odd, losses + losses_odd, squares + squares_odd


@inner
def products_around(left: Array, mean_left: float, right: Array, mean_right: float) -> float:
    """The sum of the products of the distances from the means."""
    even, odd = 0.0, 0.0
    whole = len(left) // 2 * 2
    for t in range(0, whole, 2):
        even += (left[t] - mean_left) * (right[t] - mean_right)
        odd += (left[t + 1] - mean_left) * (right[t + 1] - mean_right)
    for t in range(whole, len(left)):
        even += (left[t] - mean_left) * (right[t] - mean_right)
    return even + odd
