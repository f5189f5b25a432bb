"""How much of a Sharpe ratio is left when it was one of many tests.

Harvey & Liu, "Backtesting", Journal of Portfolio Management 42(1), 2015. The paper simulates the tests nobody
reported; a search has kept them all, so here the other p-values are the trials' own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from optim.errors import StatisticsError, shown
from optim.validation.matrix import Floats, number, whole

METHODS = ("bonferroni", "holm", "bhy")


class Haircut(NamedTuple):
    """A trial's Sharpe ratio and two-sided p-value, and both after the correction for all tests (per period)."""

    sharpe: float
    p_value: float
    adjusted_p_value: float
    adjusted_sharpe: float


def haircut_sharpe(sharpes: Mapping[Hashable, float], n: int, method: str = "holm") -> dict[Hashable, Haircut]:
    """Each trial's Sharpe ratio after the correction for having tried them all, by name.

    Args:
        sharpes: Sharpe ratio per period of every distinct trial; NaN for a flat one: a test without evidence.
        n: number of periods behind each of them.
        method: bonferroni and holm bound the chance of a single false discovery, bhy the share of false ones.

    Raises:
        StatisticsError: no trial, an infinite Sharpe ratio, n < 3, or another method.
    """
    from scipy.special import stdtr, stdtrit

    freedom = whole("n", n, 3, 2**62) - 1
    values = np.array([0.0 if sr != sr else number("sharpe", sr) for sr in sharpes.values()])
    p = 2 * stdtr(freedom, -np.abs(values) * math.sqrt(n))
    adjusted = adjusted_p_values(p.tolist(), method)
    cut = np.sign(values) * np.abs(stdtrit(freedom, adjusted / 2)) / math.sqrt(n)
    rows = zip(values.tolist(), p.tolist(), adjusted.tolist(), cut.tolist(), strict=True)
    return {name: Haircut(*row) for name, row in zip(sharpes, rows, strict=True)}


def adjusted_p_values(p_values: Sequence[float], method: str) -> Floats:
    """p-values that hold for M tests at once, float64[M] in the order given.

    bonferroni: M p. holm: the running maximum of (M + 1 - i) p_(i). bhy (Benjamini, Hochberg & Yekutieli 2001):
    the running minimum, from the largest down, of M c(M) / i p_(i), c(M) = 1 + 1/2 + ... + 1/M. None above 1.

    Raises:
        StatisticsError: no p-value, one outside [0, 1], or another method.
    """
    if not len(p_values):
        raise StatisticsError("there is no p-value to adjust")
    p = np.array([number("a p-value", value, 0, 1) for value in p_values])
    count = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, count + 1)
    if method == "bonferroni":
        ordered = count * p[order]
    elif method == "holm":
        ordered = np.maximum.accumulate((count + 1 - rank) * p[order])
    elif method == "bhy":
        steps = count * np.sum(1 / rank) / rank * p[order]
        ordered = np.minimum.accumulate(steps[::-1])[::-1]
    else:
        raise StatisticsError(f"method must be one of {', '.join(METHODS)}, but is {shown(method)}")
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(ordered, 1.0)
    return adjusted


def required_sharpe(n: int, n_trials: int, significance: float = 0.05) -> float:
    """The Sharpe ratio per period over n periods that is just significant (two-sided, normal) after Bonferroni.

    Times the deviation of returns it is the paper's profit hurdle (exhibit 5): 300 tests on 240 months at 10 % a year
    ask for 0.702 % a month, a single test for 0.365 %.

    Raises:
        StatisticsError: n < 2, n_trials < 1, or a significance outside (0, 1).
    """
    from scipy.special import ndtri

    level = number("significance", significance, 0, math.nextafter(1, 0), above=True)
    return float(-ndtri(level / (2 * number("n_trials", n_trials, 1)))) / math.sqrt(number("n", n, 2))
