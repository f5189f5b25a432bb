"""The physical limit: hand-fused loops that do the plain moving-average backtest and nothing else."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@numba.njit(nogil=True, error_model="numpy")
def fused(open_: Array, close: Array, fast: int, slow: int, fee: float, slip: float) -> tuple[float, ...]:
    """Sharpe ratio, total return, maximum drawdown and win rate of a long-only crossover traded at the next open."""
    n = len(close)
    returns = np.empty(n)
    fast_sum, slow_sum = 0.0, 0.0
    cash, quantity, spent = 10_000.0, 0.0, 0.0
    before, peak, deepest, total = 10_000.0, 10_000.0, 0.0, 0.0
    trades, wins = 0, 0
    wish = False
    for t in range(n):
        if wish and quantity == 0.0:
            price = open_[t] * (1.0 + slip) * (1.0 + fee)
            spent, quantity, cash = cash, cash / price, 0.0
        elif not wish and quantity > 0.0:
            cash, quantity = quantity * open_[t] * (1.0 - slip) * (1.0 - fee), 0.0
            trades += 1
            wins += cash > spent
        equity = cash + quantity * close[t]
        r = equity / before - 1.0
        before = equity
        returns[t] = r
        total += r
        peak = max(peak, equity)
        deepest = min(deepest, equity / peak - 1.0)
        fast_sum += close[t]
        slow_sum += close[t]
        if t >= fast:
            fast_sum -= close[t - fast]
        if t >= slow:
            slow_sum -= close[t - slow]
        wish = t >= slow - 1 and fast_sum * slow > slow_sum * fast
    mean = total / n
    squares = 0.0
    for t in range(n):
        squares += (returns[t] - mean) ** 2
    sharpe = mean / math.sqrt(squares / (n - 1)) * math.sqrt(252.0)
    return sharpe, before / 10_000.0 - 1.0, deepest, wins / max(trades, 1)


@numba.njit(nogil=True, error_model="numpy")
def fused_over_means(
    open_: Array, close: Array, fast: Array, slow: Array, fee: float, slip: float
) -> tuple[float, ...]:
    """`fused` over means that are there already, (n_bars,) each."""
    n = len(close)
    returns = np.empty(n)
    cash, quantity, spent = 10_000.0, 0.0, 0.0
    before, peak, deepest, total = 10_000.0, 10_000.0, 0.0, 0.0
    trades, wins = 0, 0
    wish = False
    for t in range(n):
        if wish and quantity == 0.0:
            price = open_[t] * (1.0 + slip) * (1.0 + fee)
            spent, quantity, cash = cash, cash / price, 0.0
        elif not wish and quantity > 0.0:
            cash, quantity = quantity * open_[t] * (1.0 - slip) * (1.0 - fee), 0.0
            trades += 1
            wins += cash > spent
        equity = cash + quantity * close[t]
        r = equity / before - 1.0
        before = equity
        returns[t] = r
        total += r
        peak = max(peak, equity)
        deepest = min(deepest, equity / peak - 1.0)
        wish = fast[t] > slow[t]
    mean = total / n
    squares = 0.0
    for t in range(n):
        squares += (returns[t] - mean) ** 2
    sharpe = mean / math.sqrt(squares / (n - 1)) * math.sqrt(252.0)
    return sharpe, before / 10_000.0 - 1.0, deepest, wins / max(trades, 1)
