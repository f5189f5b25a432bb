"""Metrics that cost more than the others: quantiles, regression on buying and holding."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, kernel
from engine.compiled.sums import LANES, ROOM, count_below, least, products_around, squares_around, sum_below, sum_of

TAIL = 0.05  # share of the returns
FEW = 16  # values among which one is selected; from here on a partition costs less than a count
HALVINGS = 16  # at the most: equal values stay together however often


class Tail(NamedTuple):
    """A quantile of the returns, and the mean of what lies beyond it."""

    edge: float
    beyond: float


@kernel
def quantiles(returns: Array) -> tuple[Tail, Tail]:
    """The 5 % and the 95 % quantile of returns of shape (n_bars,)."""
    below, above, sums = np.empty(len(returns) + 1), np.empty(len(returns) + 1), np.empty(LANES)
    lowest, highest = likely_bound(returns, 1.0, below), likely_bound(returns, -1.0, above)
    n_below, n_above = select_tails(returns, lowest, highest, below, above)
    low, high = tail(returns, 1.0, n_below, lowest, below, sums), tail(returns, -1.0, n_above, highest, above, sums)
    return low, Tail(-high.edge, -high.beyond)


@inner
def tail(values: Array, sign: float, m: int, bound: float, room: Array, sums: Array) -> Tail:
    """Quantile of sign * values with linear interpolation (numpy's default) and mean of the worst (empyrical's).

    room: scratch, one longer than values, of which the first m are what may lie in the tail, up to `bound`; all are
    taken if those are too few. sums: (LANES,), scratch.
    """
    n = len(values)
    position = TAIL * (n - 1)
    k = int(position)
    if m < min(k + 2, n):
        m, bound = n, sign * values[0]
        for i in range(n):
            room[i] = sign * values[i]
            bound = max(bound, room[i])
    n_lower = count_below(room, m, bound)
    if n_lower <= k:  # it is 0 where few bars have a position
        return Tail(bound, (sum_below(room, m, bound, sums) + (k + 1 - n_lower) * bound) / (k + 1))
    low, n_low, high = surround(room, m, bound, n_lower, k)
    total = sum_below(room, m, low, sums)
    m, k = keep_between(room, m, low, high), k - n_low
    _select(room, 0, m, k)
    above = bound  # the next larger one; it is the bound where nothing else is left
    for i in range(k + 1):
        total += room[i]
    for i in range(k + 1, m):
        above = min(above, room[i])
    edge, k = room[k], k + n_low
    return Tail(edge + (above - edge) * (position - k), total / (k + 1))


@inner
def surround(values: Array, m: int, bound: float, n_lower: int, k: int) -> tuple[float, int, float]:
    """low, how many of values[:m] are below it, and high: low <= v < high for the k-th smallest v and for few others.

    n_lower: how many are below `bound`, more than k. The one after the k-th is between low and high too, or else it is
    `bound`. Halving the distance takes a few counts, of several values at a time: less than a partition, which moves
    what it looks at.
    """
    low, high, n_low, n_high = least(values, m), bound, 0, n_lower
    for _ in range(HALVINGS):
        middle = 0.5 * low + 0.5 * high
        if n_high - n_low <= FEW or not low < middle < high:
            break
        n = count_below(values, m, middle)
        if n <= k:
            low, n_low = middle, n
        elif n >= k + 2:
            high, n_high = middle, n
        else:
            break
    return low, n_low, high


@inner
def keep_between(values: Array, m: int, low: float, high: float) -> int:
    """Bring those of values[:m] with low <= value < high to the front; returns how many there are."""
    kept = 0
    for i in range(m):
        value = values[i]
        values[kept] = value
        kept += low <= value and value < high
    return kept


@inner
def likely_bound(values: Array, sign: float, room: Array) -> float:
    """What a little more than the tail of sign * values probably lies below, from some of them."""
    m = 0
    for i in range(0, len(values), max(len(values) // 64, 1)):
        room[m] = sign * values[i]
        m += 1
    k = min(int(1.6 * TAIL * m) + 3, m - 1)
    _select(room, 0, m, k)
    return float(room[k])


@inner
def select_tails(values: Array, lowest: float, highest: float, below: Array, above: Array) -> tuple[int, int]:
    """Copy values up to `lowest` to the front of `below`, -values up to `highest` to that of `above`; how many of each.

    In one pass, without a branch to mispredict.
    """
    m, k = 0, 0
    for i in range(len(values)):
        value = values[i]
        below[m] = value
        above[k] = -value
        m += value <= lowest
        k += -value <= highest
    return m, k


@inner
def _select(values: Array, left: int, right: int, k: int) -> None:
    """Quickselect of values[left:right]: afterwards values[:k] <= values[k] <= values[k + 1:].

    Equal values are set apart at once, so that many of them (returns of 0) cost no more than others.
    """
    while right - left > 1:
        first, middle, last = values[left], values[(left + right) // 2], values[right - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        bound = _part(values, left, right, pivot, False)
        if k < bound:
            right = bound
            continue
        left = _part(values, bound, right, pivot, True)
        if k < left or left == bound:  # a NaN is equal to nothing
            return


@inner
def _part(values: Array, left: int, right: int, pivot: float, equal: bool) -> int:
    """Bring those of values[left:right] below `pivot`, or equal to it too, to the front; returns where they end.

    Lomuto's way without a branch to mispredict: half the time of Hoare's on a few hundred returns.
    """
    bound = left
    for i in range(left, right):
        value = values[i]
        values[i] = values[bound]
        values[bound] = value
        bound += value < pivot or (equal and value == pivot)
    return bound


class Market(NamedTuple):
    """Buying and holding, as the regression on it needs it."""

    returns: Array  # close to close, from the second bar on
    mean: float
    variance: float  # times their number


@kernel
def market_of(close: Array, wanted: bool) -> Market:
    """The market of prices of shape (n_bars,); nothing is computed where it is not wanted."""
    if not wanted:
        return Market(np.empty(0), math.nan, math.nan)
    returns, later, earlier, room = np.empty(len(close) - 1), close[1:], close[:-1], np.empty(ROOM)
    for i in range(len(returns)):
        returns[i] = later[i] / earlier[i] - 1.0
    mean = sum_of(returns, room) / len(returns)
    return Market(returns, mean, squares_around(returns, mean, room))


@kernel
def alpha_beta(returns: Array, market: Market, periods_per_year: float, room: Array) -> tuple[float, float]:
    """Regression on the close-to-close returns of the instrument, from the second bar on (empyrical's convention).

    room: (ROOM,), scratch.
    """
    own = returns[1:]
    mean = sum_of(own, room) / len(own)
    if market.variance == 0.0:
        return math.nan, math.nan
    beta = products_around(market.returns, market.mean, own, mean, room) / market.variance
    daily = 1.0 + mean - beta * market.mean
    return compounded(math.log(daily) * periods_per_year) if daily > 0.0 else math.nan, beta


@inner
def compounded(log_growth: float) -> float:
    """exp(log_growth) - 1; NaN beyond a float, where plain Python raises and compiled code is infinite."""
    return math.exp(log_growth) - 1.0 if log_growth < 700.0 else math.nan
