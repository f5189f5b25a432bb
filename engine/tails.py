"""Metrics that cost more than the others: quantiles, regression on buying and holding, depth under water."""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.arrays import Array
from engine.jit import inner, kernel


class Tail(NamedTuple):
    """A quantile of the returns, and the mean of what lies at or below it."""

    edge: float
    beyond: float


@kernel
def quantiles(returns: Array) -> tuple[Tail, Tail]:
    """The 5 % and the 95 % quantile of returns of shape (n_bars,)."""
    values = returns.copy()
    return lower_tail(values, 0.05), lower_tail(values, 0.95)


@inner
def lower_tail(values: Array, share: float) -> Tail:
    """Quantile with linear interpolation (numpy's default) and mean of the worst (empyrical's). Reorders `values`."""
    n = len(values)
    position = share * (n - 1)
    k = int(position)
    _select(values, 0, n - 1, k)
    total = 0.0
    for i in range(k + 1):
        total += values[i]
    edge = values[k]
    if k + 1 < n:
        above = values[k + 1]
        for i in range(k + 2, n):
            above = min(above, values[i])
        edge += (above - edge) * (position - k)
    return Tail(edge, total / (k + 1))


@inner
def _select(values: Array, left: int, right: int, k: int) -> None:
    """Hoare's quickselect: afterwards values[:k] <= values[k] <= values[k + 1:]."""
    while left < right:
        pivot = values[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            right = j
        elif k >= i:
            left = i
        else:
            return


@inner
def alpha_beta(returns: Array, close: Array, periods_per_year: float) -> tuple[float, float]:
    """Regression on the close-to-close returns of the instrument, from the second bar on (empyrical's convention)."""
    n = len(close) - 1
    mean_market, mean_own = 0.0, 0.0
    for t in range(1, n + 1):
        mean_market += close[t] / close[t - 1] - 1.0
        mean_own += returns[t]
    mean_market /= n
    mean_own /= n
    covariance, variance = 0.0, 0.0
    for t in range(1, n + 1):
        market = close[t] / close[t - 1] - 1.0 - mean_market
        covariance += market * (returns[t] - mean_own)
        variance += market * market
    if variance == 0.0:
        return math.nan, math.nan
    beta = covariance / variance
    daily = 1.0 + mean_own - beta * mean_market
    return math.exp(math.log(daily) * periods_per_year) - 1.0 if daily > 0.0 else math.nan, beta


@inner
def ulcer_index(equity: Array, initial_cash: float) -> float:
    """Root mean square of equity / highest equity so far - 1."""
    peak, squares = initial_cash, 0.0
    for t in range(len(equity)):
        peak = max(peak, equity[t])
        depth = equity[t] / peak - 1.0
        squares += depth * depth
    return math.sqrt(squares / len(equity))
