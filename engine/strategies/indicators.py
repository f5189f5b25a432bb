"""Compiled indicators. Each is causal, returns shape (n_bars,) and NaN until it has seen enough bars.

What stands still has no rounding error: sums are taken over differences, which are exactly 0 there. NaN among the
values is warm-up: a window that holds one is NaN, and `ema`, `rsi`, `atr` and `macd` begin anew after it. So indicators
take indicators: sma(roc(x, 2), 3) has its first value at bar 4.
"""

from __future__ import annotations

import math

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, kernel
from engine.compiled.refused import refuse_lengths, refuse_window
from engine.compiled.shared import indicator
from engine.compiled.tolerance import exceeds
from engine.compiled.windows import extremes, means, spreads, weighted_means


@inner
def _end_of_run(values: Array, start: int) -> int:
    """The first bar from `start` on that is NaN; n_bars when none is."""
    t = start
    while t < len(values) and not math.isnan(values[t]):
        t += 1
    return t


@inner
def _room(values: Array, window: int) -> int:
    """Places of scratch for windows of these values; raises ValueError for a window of no bar."""
    refuse_window(window)
    return max(min(window, len(values)), 1)


@indicator
def sma(values: Array, window: int) -> Array:
    """Simple moving average. Warm-up: window - 1 bars."""
    tails, out = np.empty(_room(values, window)), np.full(len(values), np.nan)
    start = 0
    while start < len(values):
        stop = _end_of_run(values, start)
        means(values[start:stop], window, tails, out[start:stop])
        start = stop + 1
    return out


@indicator
def ema(values: Array, window: int) -> Array:
    """Exponential moving average, alpha 2 / (window + 1), from the mean of the first window. Warm-up: window - 1."""
    refuse_window(window)
    out = np.full(len(values), np.nan)
    forever = (window - 1.0) / (window + 1.0)
    seen, mean = 0, 0.0
    for t in range(len(values)):
        if math.isnan(values[t]):
            seen, mean = 0, 0.0
            continue
        seen += 1
        mean = _blend(values[t], mean, 1.0 - 1.0 / seen if seen <= window else forever)
        if seen >= window:
            out[t] = mean
    return out


@inner
def _blend(new: float, mean: float, kept: float) -> float:
    """A mean that keeps the share `kept` of itself: all of it where nothing moves, nothing of it where kept is 0."""
    return new + kept * (mean - new)


@indicator
def rsi(values: Array, period: int) -> Array:
    """Relative strength index with Wilder's smoothing, 0 to 100; 50 until something moved. Warm-up: period bars.

    Where nothing moves it stays as it is: gains and losses fade in proportion.
    """
    refuse_window(period)
    out = np.full(len(values), np.nan)
    seen, gain, loss, index = 0, 0.0, 0.0, 50.0
    for t in range(1, len(values)):
        change = values[t] - values[t - 1]
        if math.isnan(change):
            seen, gain, loss, index = 0, 0.0, 0.0, 50.0
            continue
        seen += 1
        kept = 1.0 - 1.0 / min(seen, period)  # the mean of the first `period` changes, then Wilder's
        gain = _blend(max(change, 0.0), gain, kept)
        loss = _blend(max(-change, 0.0), loss, kept)
        if change != 0.0:
            index = 100.0 * gain / (gain + loss)
        if seen >= period:
            out[t] = index
    return out


@indicator
def wma(values: Array, window: int) -> Array:
    """Linearly weighted moving average, the newest value weighs most. Warm-up: window - 1 bars."""
    tails, out = np.empty(_room(values, window)), np.full(len(values), np.nan)
    start = 0
    while start < len(values):
        stop = _end_of_run(values, start)
        weighted_means(values[start:stop], window, tails, out[start:stop])
        start = stop + 1
    return out


@indicator
def std(values: Array, window: int) -> Array:
    """Standard deviation (ddof 0, as Bollinger has it) of the last `window` values. Warm-up: window - 1 bars."""
    return _spread(values, window)[1]


@indicator
def zscore(values: Array, window: int) -> Array:
    """(value - mean) / deviation (ddof 0) of the last `window`; 0 where all are equal. Warm-up: window - 1.

    Equal is what differs by rounding only, see engine/compiled/tolerance.py; its scale is the value.
    """
    mean, out = _spread(values, window)
    for t in range(window - 1, len(values)):
        moved = exceeds(out[t], 0.0, abs(values[t])) or math.isnan(out[t])
        out[t] = (values[t] - mean[t]) / out[t] if moved else 0.0
    return out


@kernel
def _spread(values: Array, window: int) -> tuple[Array, Array]:
    """Mean and standard deviation (ddof 0)."""
    tails, mean, out = np.empty((2, _room(values, window))), np.full(len(values), np.nan), np.full(len(values), np.nan)
    start = 0
    while start < len(values):
        stop = _end_of_run(values, start)
        spreads(values[start:stop], window, tails[0], tails[1], mean[start:stop], out[start:stop])
        start = stop + 1
    for t in range(len(out)):
        out[t] = math.sqrt(out[t] / window)
    return mean, out


@indicator
def roc(values: Array, period: int) -> Array:
    """Rate of change: value / value `period` bars ago - 1, NaN where that was 0. Warm-up: period bars."""
    refuse_window(period)
    out = np.full(len(values), np.nan)
    for t in range(period, len(values)):
        if values[t - period] != 0.0:
            out[t] = values[t] / values[t - period] - 1.0
    return out


@indicator
def atr(high: Array, low: Array, close: Array, period: int) -> Array:
    """Average true range with Wilder's smoothing, from the mean of the first `period` ranges. Warm-up: period bars."""
    refuse_window(period)
    refuse_lengths(len(close), (len(high), len(low)))
    out = np.full(len(close), np.nan)
    seen, mean = 0, 0.0
    for t in range(1, len(close)):
        reach = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
        if math.isnan(high[t] + low[t] + close[t] + close[t - 1]):
            seen, mean = 0, 0.0
            continue
        seen += 1
        mean = _blend(reach, mean, 1.0 - 1.0 / min(seen, period))
        if seen >= period:
            out[t] = mean
    return out


@indicator
def macd(values: Array, fast: int, slow: int, smooth: int) -> tuple[Array, Array]:
    """ema(fast) - ema(slow) and its ema over `smooth` bars. Warm-up: slow - 1 and slow + smooth - 2 bars."""
    line = ema(values, fast) - ema(values, slow)
    return line, ema(line, smooth)


@indicator
def highest(values: Array, window: int) -> Array:
    """Largest of the last `window` values. Warm-up: window - 1 bars."""
    return _extreme(values, window, 1.0)


@indicator
def lowest(values: Array, window: int) -> Array:
    """Smallest of the last `window` values. Warm-up: window - 1 bars."""
    return _extreme(values, window, -1.0)


@kernel
def _extreme(values: Array, window: int, sign: float) -> Array:
    tails, out = np.empty(_room(values, window)), np.full(len(values), np.nan)
    start = 0
    while start < len(values):
        stop = _end_of_run(values, start)
        extremes(values[start:stop], window, sign, tails, out[start:stop])
        start = stop + 1
    return out
