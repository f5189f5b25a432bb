"""The stationary bootstrap: blocks of random length, so that what depends on each other stays together.

1. Politis & Romano, "The Stationary Bootstrap", JASA 89(428), 1994.
2. Politis & White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 23(1), 2004.
3. Patton, Politis & White, correction to [2], Econometric Reviews 28(4), 2009.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.longrun import autocovariances, bootstrap_covariance, sharpe_influence
from optim.validation.matrix import FLAT, Floats, checked_series, is_flat, number, whole

MAX_DRAWS = 1_000_000


class SharpeInterval(NamedTuple):
    """A Sharpe ratio per period, the ends of its interval, and the mean block length of the bootstrap (periods)."""

    sharpe: float
    lower: float
    upper: float
    block_length: float


def block_lengths(series: Floats) -> Floats:
    """The best mean block length for the mean of each column of series [T, N], float64[N]; [2] sec. 3.2 as of [3].

    (2 G^2 / D)^(1/3) T^(1/3), D = 2 g(0)^2, at least 1 and at most min(3 sqrt(T), T / 3) rounded up; sums over lags up
    to twice the first from which five autocorrelations are insignificant, as the authors' program counts. 1 if flat.
    """
    rows = len(series)
    insignificant, last = 5, math.ceil(math.sqrt(rows)) + 5
    covariance = autocovariances(series, last)
    variance = np.where(covariance[0] > 0, covariance[0], np.inf)
    small = np.abs(covariance[1:]) / variance < 2 * math.sqrt(math.log10(rows) / rows)
    runs = np.lib.stride_tricks.sliding_window_view(small, insignificant, axis=0).all(axis=-1)
    first = np.where(runs.any(axis=0), runs.argmax(axis=0) + 1, last)
    bandwidth = np.minimum(2 * first, last)
    lag = np.arange(last + 1)[:, None]
    share = np.clip(2 * (1 - lag / bandwidth), 0.0, 1.0)  # the flat-top window
    share[0] = 0.5  # every other lag counts on both sides
    g = 2 * (share * lag * covariance).sum(axis=0)
    spectrum = 2 * (share * covariance).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.cbrt(g**2 / spectrum**2 * rows)
    most = math.ceil(min(3 * math.sqrt(rows), rows / 3))
    return np.asarray(np.clip(np.nan_to_num(length, nan=1.0, posinf=most), 1.0, most))


def bootstrap_counts(rows: int, block_length: float, n_draws: int, seed: int) -> Floats:
    """How often each period is in each draw, float64[n_draws, rows]; its rows sum to `rows`.

    A draw walks through the periods in order, round the end, and jumps to a random one with probability
    1 / block_length before each step [1]. Counts times returns, divided by `rows`, are the means of all draws at once.
    """
    from optim.validation.walk import walk

    random = np.random.default_rng(seed)
    counts = np.zeros((n_draws, rows))
    at_once = max(1, 1_000_000 // rows)
    for first in range(0, n_draws, at_once):
        shape = (min(at_once, n_draws - first), rows)
        jump = random.random(shape) < 1 / block_length
        walk(jump, random.integers(rows, size=shape), counts[first : first + shape[0]])
    return counts


def common_block_length(series: Floats, block_length: float | None) -> float:
    """The given mean block length, or the mean of the columns' own best ones: one draw serves all columns.

    Raises:
        StatisticsError: a given length below 1 or above T.
    """
    if block_length is None:
        return float(block_lengths(series).mean())
    return number("block_length", block_length, 1, len(series))


def sharpe_confidence_interval(
    returns: Any, confidence: float = 0.95, n_draws: int = 2000, block_length: float | None = None, seed: int = 0
) -> SharpeInterval:
    """A two-sided interval for the true Sharpe ratio per period of returns float[T], chosen without looking at them.

    The observed ratio +- the quantile of |bootstrapped - observed ratio|; the block length is the best one for the
    Sharpe ratio's influence function [2, 3]. For the best of many see
    `optim.validation.selection.winner_interval`.

    Raises:
        StatisticsError: fewer than 30 returns, one that is not finite, flat ones, or a setting out of its range.
    """
    values = checked_series(returns)[:, None]
    if is_flat(values)[0]:
        raise StatisticsError("the returns do not vary: a flat series has no Sharpe ratio")
    level = number("confidence", confidence, 0, math.nextafter(1, 0), above=True)
    draws = whole("n_draws", n_draws, 100, MAX_DRAWS)
    influence, sharpe = sharpe_influence(values)
    length = common_block_length(influence, block_length)
    counts = bootstrap_counts(len(values), length, draws, seed)
    drawn = drawn_sharpe_ratios(counts, values)[:, 0]
    reach = float(np.quantile(np.abs(drawn - sharpe[0]), level))
    return SharpeInterval(float(sharpe[0]), float(sharpe[0]) - reach, float(sharpe[0]) + reach, length)


def drawn_sharpe_ratios(counts: Floats, values: Floats) -> Floats:
    """The Sharpe ratio (ddof 1) of each column in each draw, float64[n_draws, N]; 0 where a draw is flat."""
    rows = len(values)
    scaled = values / np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    mean, size = counts @ scaled / rows, counts @ scaled**2 / rows
    variance = size - mean**2
    varies = variance > FLAT * size
    return np.where(varies, mean / np.sqrt(np.where(varies, variance, 1.0) * rows / (rows - 1)), 0.0)


def standard_errors(series: Floats, block_length: float) -> Floats:
    """The standard deviation of the mean of each column of series [T, N] under the stationary bootstrap, float64[N]."""
    return np.sqrt(np.maximum(bootstrap_covariance(series, series, block_length), 0.0) / len(series))
