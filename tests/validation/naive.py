"""The statistics by their definitions: loops over periods, splits and draws, nothing clever."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
NORMAL = NormalDist()


def sharpe(returns: Floats) -> float:
    """Sharpe ratio with ddof 1; 0 if all returns are the same."""
    return 0.0 if len(set(returns.tolist())) == 1 else float(returns.mean() / returns.std(ddof=1))


def noise(seed: int, rows: int, columns: int) -> Floats:
    """Returns of one percent a period without an edge."""
    return np.random.default_rng(seed).normal(0, 0.01, (rows, columns))


def autoregressive(seed: int, rows: int, columns: int, rho: float) -> Floats:
    """Noise in which a period remembers the one before."""
    values = noise(seed, rows, columns)
    for row in range(1, rows):
        values[row] += rho * values[row - 1]
    return values


def wilson(hits: int, of: int, z: float = 3.3) -> tuple[float, float]:
    """Interval of a share seen `hits` times (Wilson 1927); a false alarm once in a thousand."""
    share, extra = hits / of, z * z / of
    middle = (share + extra / 2) / (1 + extra)
    half = z * math.sqrt(share * (1 - share) / of + extra / of / 4) / (1 + extra)
    return middle - half, middle + half


def cscv(values: Floats, blocks: int) -> tuple[list[float], list[float], list[float]]:
    """Logits, in-sample and out-of-sample Sharpe ratios of the winners of all splits."""
    parts = [values[len(values) * i // blocks : len(values) * (i + 1) // blocks] for i in range(blocks)]
    logits, inside, outside = [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        there = np.concatenate([parts[i] for i in chosen])
        later = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        won = [sharpe(column) for column in there.T]
        kept = [sharpe(column) for column in later.T]
        best = int(np.argmax(won))
        relative = rankdata(kept)[best] / (len(kept) + 1)
        logits.append(math.log(relative / (1 - relative)))
        inside.append(won[best])
        outside.append(kept[best])
    return logits, inside, outside


def bootstrap_variance(x: Floats, block_length: float) -> float:
    """T times the variance of the mean under the stationary bootstrap (Hansen 2005, eq. 11)."""
    n, q = len(x), 1 / block_length
    gamma = [float((x[i:] - x.mean()) @ (x[: n - i] - x.mean())) / n for i in range(n)]
    kappa = [(n - i) / n * (1 - q) ** i + i / n * (1 - q) ** (n - i) for i in range(n)]
    return gamma[0] + 2 * sum(k * g for k, g in zip(kappa[1:], gamma[1:], strict=True))


def block_length(x: Floats) -> float:
    """Politis and White's length for the stationary bootstrap, with the correction of 2009."""
    n, last = len(x), math.ceil(math.sqrt(len(x))) + 5
    r = [float((x[k:] - x.mean()) @ (x[: n - k] - x.mean())) / n for k in range(last + 1)]
    line = 2 * math.sqrt(math.log10(n) / n)
    quiet = [lag for lag in range(1, last - 3) if all(abs(r[lag + k] / r[0]) < line for k in range(5))]
    m = min(2 * quiet[0], last) if quiet else last
    flat_top = [1.0 if lag / m <= 0.5 else 2 * (1 - lag / m) for lag in range(m + 1)]
    g = 2 * sum(flat_top[lag] * lag * r[lag] for lag in range(1, m + 1))
    d = 2 * (r[0] + 2 * sum(flat_top[lag] * r[lag] for lag in range(1, m + 1))) ** 2
    length = (2 * g**2 / d) ** (1 / 3) * n ** (1 / 3)
    return max(1.0, min(length, math.ceil(min(3 * math.sqrt(n), n / 3))))


def drawn_means(x: Floats, counts: Floats) -> list[float]:
    """The mean of each draw, its periods written out."""
    return [float(np.repeat(x, count.astype(int)).mean()) for count in counts]


def spa(excess: Floats, counts: Floats, block_length: float) -> tuple[float, float, float]:
    """Hansen's lower, consistent and upper p-value of excess returns [T, N]."""
    n = len(excess)
    error = [math.sqrt(bootstrap_variance(x, block_length)) for x in excess.T]
    mean = [float(x.mean()) for x in excess.T]
    drawn = [drawn_means(x, counts) for x in excess.T]
    statistic = max(0.0, *(math.sqrt(n) * m / w for m, w in zip(mean, error, strict=True)))
    p_values = []
    for keep in ("lower", "consistent", "upper"):
        hits = 0
        for b in range(len(counts)):
            largest = 0.0
            for m, w, means in zip(mean, error, drawn, strict=True):
                near = math.sqrt(n) * m / w >= -math.sqrt(2 * math.log(math.log(n)))
                centre = {"lower": max(m, 0.0), "consistent": m if near else 0.0, "upper": m}[keep]
                largest = max(largest, math.sqrt(n) * (means[b] - centre) / w)
            hits += largest >= statistic
        p_values.append((1 + hits) / (len(counts) + 1))
    return p_values[0], p_values[1], p_values[2]


def step_down(excess: Floats, counts: Floats, block_length: float) -> list[float]:
    """Romano and Wolf's adjusted p-values of excess returns [T, N], in column order."""
    n, columns = excess.shape
    error = [math.sqrt(bootstrap_variance(x, block_length) / n) for x in excess.T]
    t = [float(x.mean()) / w for x, w in zip(excess.T, error, strict=True)]
    drawn = [drawn_means(x, counts) for x in excess.T]
    p_values, before = [0.0] * columns, 0.0
    left = sorted(range(columns), key=lambda j: -t[j])
    while left:
        j = left[0]
        hits = 0
        for b in range(len(counts)):
            hits += max((drawn[i][b] - float(excess[:, i].mean())) / error[i] for i in left) >= t[j]
        before = p_values[j] = max(before, (1 + hits) / (len(counts) + 1))
        left = left[1:]
    return p_values


def holm(p: Sequence[float]) -> list[float]:
    """The smallest level at which Holm's step-down procedure rejects each hypothesis."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    return [min(1.0, max((len(p) - k) * p[order[k]] for k in range(order.index(i) + 1))) for i in range(len(p))]


def bhy(p: Sequence[float]) -> list[float]:
    """The smallest level at which Benjamini, Hochberg and Yekutieli's step-up procedure rejects each hypothesis."""
    count, order = len(p), sorted(range(len(p)), key=lambda i: p[i])
    weight = sum(1 / i for i in range(1, count + 1))
    steps = [count * weight / (k + 1) * p[order[k]] for k in range(count)]
    return [min(1.0, *steps[order.index(i) :]) for i in range(count)]
