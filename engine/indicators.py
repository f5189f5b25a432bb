"""Compiled indicators. Each is causal, returns shape (n_bars,) and NaN until it has seen enough bars."""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import Array
from engine.jit import inner, kernel


@kernel
def sma(values: Array, window: int) -> Array:
    """Simple moving average. Warm-up: window - 1 bars."""
    out = np.full(len(values), np.nan)
    total, share = 0.0, 1.0 / window
    for t in range(len(values)):
        total += values[t] - (values[t - window] if t >= window else 0.0)
        if t >= window - 1:
            out[t] = total * share
    return out


@kernel
def ema(values: Array, window: int) -> Array:
    """Exponential moving average, alpha 2 / (window + 1), from the mean of the first window. Warm-up: window - 1."""
    n = len(values)
    out = np.full(n, np.nan)
    if n < window:
        return out
    mean = 0.0
    for t in range(window):
        mean += values[t]
    mean /= window
    alpha = 2.0 / (window + 1.0)
    out[window - 1] = mean
    for t in range(window, n):
        mean += alpha * (values[t] - mean)
        out[t] = mean
    return out


@kernel
def rsi(values: Array, period: int) -> Array:
    """Relative strength index with Wilder's smoothing, 0 to 100; 50 when nothing moved. Warm-up: period bars."""
    n = len(values)
    out = np.full(n, np.nan)
    if n <= period:
        return out
    gain, loss = 0.0, 0.0
    for t in range(1, period + 1):
        change = values[t] - values[t - 1]
        gain += max(change, 0.0)
        loss += max(-change, 0.0)
    gain /= period
    loss /= period
    out[period] = 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 50.0
    for t in range(period + 1, n):
        change = values[t] - values[t - 1]
        gain += (max(change, 0.0) - gain) / period
        loss += (max(-change, 0.0) - loss) / period
        out[t] = 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 50.0
    return out


@kernel
def wma(values: Array, window: int) -> Array:
    """Linearly weighted moving average, the newest value weighs most. Warm-up: window - 1 bars."""
    n = len(values)
    out = np.full(n, np.nan)
    share = 2.0 / (window * (window + 1.0))
    for t in range(window - 1, n):
        total = 0.0
        for i in range(window):
            total += (i + 1) * values[t - window + 1 + i]
        out[t] = total * share
    return out


@kernel
def std(values: Array, window: int) -> Array:
    """Standard deviation (ddof 0, as Bollinger has it) of the last `window` values. Warm-up: window - 1 bars."""
    out = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        out[t] = _spread(values, t, window)[1]
    return out


@kernel
def zscore(values: Array, window: int) -> Array:
    """(value - mean) / deviation (ddof 0) of the last `window`; 0 where all are equal. Warm-up: window - 1."""
    out = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        mean, deviation = _spread(values, t, window)
        out[t] = (values[t] - mean) / deviation if deviation > 0.0 else 0.0
    return out


@inner
def _spread(values: Array, t: int, window: int) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of the window that ends at t, in two passes around its newest value.

    Deviations from the newest value, because the mean of equal numbers is not always that number.
    """
    anchor = values[t]
    mean = 0.0
    for i in range(t - window + 1, t + 1):
        mean += values[i] - anchor
    mean /= window
    squares = 0.0
    for i in range(t - window + 1, t + 1):
        squares += (values[i] - anchor - mean) * (values[i] - anchor - mean)
    return anchor + mean, math.sqrt(squares / window)


@kernel
def roc(values: Array, period: int) -> Array:
    """Rate of change: value / value `period` bars ago - 1. Warm-up: period bars."""
    out = np.full(len(values), np.nan)
    for t in range(period, len(values)):
        out[t] = values[t] / values[t - period] - 1.0
    return out


@kernel
def atr(high: Array, low: Array, close: Array, period: int) -> Array:
    """Average true range with Wilder's smoothing, from the mean of the first `period` ranges. Warm-up: period bars."""
    n = len(close)
    out = np.full(n, np.nan)
    if n <= period:
        return out
    mean = 0.0
    for t in range(1, n):
        reach = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
        if t <= period:
            mean += reach / period
        else:
            mean += (reach - mean) / period
        if t >= period:
            out[t] = mean
    return out


@kernel
def macd(values: Array, fast: int, slow: int, smooth: int) -> tuple[Array, Array]:
    """ema(fast) - ema(slow) and its ema over `smooth` bars. Warm-up: slow - 1 and slow + smooth - 2 bars."""
    line = ema(values, fast) - ema(values, slow)
    signal = np.full(len(values), np.nan)
    if len(values) >= slow:
        signal[slow - 1 :] = ema(line[slow - 1 :], smooth)
    return line, signal


@kernel
def highest(values: Array, window: int) -> Array:
    """Largest of the last `window` values. Warm-up: window - 1 bars. Monotone queue: linear in the bars."""
    return _extreme(values, window, 1.0)


@kernel
def lowest(values: Array, window: int) -> Array:
    """Smallest of the last `window` values. Warm-up: window - 1 bars."""
    return _extreme(values, window, -1.0)


@kernel
def _extreme(values: Array, window: int, sign: float) -> Array:
    n = len(values)
    out = np.full(n, np.nan)
    queue = np.empty(n, np.int64)  # bars whose value no later one has beaten yet
    head, tail = 0, 0
    for t in range(n):
        while tail > head and sign * values[queue[tail - 1]] <= sign * values[t]:
            tail -= 1
        queue[tail] = t
        tail += 1
        if queue[head] <= t - window:
            head += 1
        if t >= window - 1:
            out[t] = values[queue[head]]
    return out
