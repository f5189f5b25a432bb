"""Made-up markets whose truth is known: noise of several kinds, and noise with an edge in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.data.bars import Bars, make_bars

_DAY = 86_400_000_000_000
VOLATILITY = 0.01  # of a bar
_INSIDE = 8  # steps within a bar: its high and low


def noise_iid(rng: np.random.Generator, n: int) -> Any:
    """Independent normal changes."""
    return rng.normal(0, VOLATILITY, n)


def noise_garch(rng: np.random.Generator, n: int) -> Any:
    """GARCH(1, 1): alpha .1, beta .88; quiet and wild stretches, heavy tails."""
    variance, alpha, beta = VOLATILITY**2, 0.1, 0.88
    changes, z = np.empty(n), rng.standard_normal(n)
    floor = variance * (1 - alpha - beta)
    for t in range(n):
        changes[t] = np.sqrt(variance) * z[t]
        variance = floor + alpha * changes[t] ** 2 + beta * variance
    return changes


def noise_seasonal(rng: np.random.Generator, n: int) -> Any:
    """Wild and quiet by turns, five bars each way: volatility goes round with the calendar."""
    return rng.normal(0, VOLATILITY, n) * (1 + 0.6 * np.sin(2 * np.pi * np.arange(n) / 10))


def noise_bounce(rng: np.random.Generator, n: int) -> Any:
    """A price read off bid or ask: changes of autocorrelation about -.1."""
    side = rng.choice([-1.0, 1.0], n) * 0.33 * VOLATILITY
    return rng.normal(0, VOLATILITY * 0.9, n) + np.diff(side, prepend=0.0)


def trend(strength: float, base: Callable[..., Any] = noise_iid, length: int = 100) -> Callable[..., Any]:
    """Drift of `strength` a bar, up or down by turns; each stretch lasts `length` bars on average."""

    def changes(rng: np.random.Generator, n: int) -> Any:
        turns = np.cumsum(rng.random(n) < 1 / length)
        return base(rng, n) + strength * np.where(turns % 2 == 0, 1.0, -1.0) * rng.choice([-1.0, 1.0])

    return changes


def mean_reversion(strength: float) -> Callable[..., Any]:
    """The log price is drawn back to where it came from: `strength` of the distance a bar."""

    def changes(rng: np.random.Generator, n: int) -> Any:
        z, away, found = rng.normal(0, VOLATILITY, n), 0.0, np.empty(n)
        for t in range(n):
            found[t] = z[t] - strength * away
            away += found[t]
        return found

    return changes


def momentum(strength: float) -> Callable[..., Any]:
    """Each change carries `strength` of the mean of the last five."""

    def changes(rng: np.random.Generator, n: int) -> Any:
        found = rng.normal(0, VOLATILITY, n + 5)
        for t in range(5, n + 5):
            found[t] += strength * found[t - 5 : t].sum()
        return found[5:]

    return changes


def market(changes: Callable[..., Any], seed: int, n: int = 2600) -> Bars:
    """Daily bars whose closes have these log changes; each opens where the one before closed, give or take."""
    rng = np.random.default_rng(seed)
    moves = changes(rng, n)
    close = 100 * np.exp(np.cumsum(moves))
    before = np.concatenate(([100.0], close[:-1]))
    open_ = before * np.exp(rng.normal(0, 0.1 * VOLATILITY, n))
    walk = np.cumsum(rng.normal(0, VOLATILITY / np.sqrt(_INSIDE), (n, _INSIDE)), axis=1)
    bridge = walk - walk[:, -1:] * np.arange(1, _INSIDE + 1) / _INSIDE
    line = np.log(open_)[:, None] + np.log(close / open_)[:, None] * np.arange(1, _INSIDE + 1) / _INSIDE + bridge
    high = np.maximum(np.exp(line.max(axis=1)), np.maximum(open_, close))
    low = np.minimum(np.exp(line.min(axis=1)), np.minimum(open_, close))
    return make_bars(np.arange(n) * _DAY, open_, high, low, close, rng.uniform(1e5, 2e5, n))
