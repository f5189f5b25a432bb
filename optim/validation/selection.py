"""An interval for the Sharpe ratio of a winner that knows it was chosen for being the largest.

Andrews, Kitagawa & McCloskey, "Inference on Winners", Quarterly Journal of Economics 139(1), 2024: projection
interval (sec. 3.4), hybrid interval and estimate (sec. 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.bootstrap import MAX_DRAWS, bootstrap_counts, common_block_length, standard_errors
from optim.validation.longrun import bootstrap_covariance, sharpe_influence
from optim.validation.matrix import Floats, checked, distinct, excess_over, is_flat, number, position, whole

_SAME = 1e-9  # of a variance: columns whose Sharpe ratios vary as one


class WinnerInterval(NamedTuple):
    """The winner of N trials, per period.

    sharpe: as observed, too high by the choice. estimate: corrected, as likely too high as too low.
    lower, upper: hybrid interval. projection_lower, projection_upper: holds for every trial at once, so for any way of
    choosing. naive_lower, naive_upper: what one would say had the trial been chosen without looking.
    """

    winner: Hashable
    n_trials: int
    sharpe: float
    estimate: float
    lower: float
    upper: float
    projection_lower: float
    projection_upper: float
    naive_lower: float
    naive_upper: float
    block_length: float


def winner_interval(
    returns: Any,
    benchmark: Hashable | None = None,
    names: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> WinnerInterval:
    """The trial with the largest Sharpe ratio, and how large that ratio truly may be.

    Sharpe ratios are treated as jointly normal with the long-run covariance of their influence functions. The
    projection interval is the observed ratio +- c standard errors, c the quantile of the largest absolute studentised
    error of all trials (stationary bootstrap). The hybrid one inverts the law of the winner's ratio given that it won,
    cut to a projection interval of level 1 - (1 - confidence) / 10.

    Args:
        returns: T x N, see `optim.validation.matrix.checked`.
        benchmark: a column's name; Sharpe ratios are then those of the excess over it. By default those of returns.
        names: the columns' names, unless returns are a DataFrame.
        confidence: of every interval, two-sided.
        n_draws: bootstrap samples for c.
        seed: of the draws.

    Raises:
        StatisticsError: no trial that varies, no such benchmark, unusable returns, a setting out of its range.
    """
    from scipy.special import ndtri

    values, labels = checked(returns, names)
    level = number("confidence", confidence, 0, math.nextafter(1, 0), above=True)
    draws = whole("n_draws", n_draws, 100, MAX_DRAWS)
    if benchmark is None:
        usable = ~is_flat(values)
    else:
        values, usable = excess_over(values, position(labels, benchmark))
    if not usable.any():
        raise StatisticsError("no column of returns varies: there is no winner")
    kept = np.flatnonzero(usable)[distinct(values[:, usable])[0]]
    influence, sharpe = sharpe_influence(values[:, kept])
    length = common_block_length(influence, None)
    error = standard_errors(influence, length)
    drawn = bootstrap_counts(len(values), length, draws, seed) @ influence / len(values)
    largest = np.abs(drawn / error).max(axis=1)
    best = int(sharpe.argmax())
    covariance = bootstrap_covariance(influence, influence[:, best], length) / len(values)
    alpha, beta = 1 - level, (1 - level) / 10
    top, spread = float(sharpe[best]), float(error[best])
    half, wide = (spread * float(np.quantile(largest, 1 - miss)) for miss in (alpha, beta))
    solve = hybrid(top, spread, truncation(sharpe, covariance, best), wide)
    tail = (alpha - beta) / (1 - beta) / 2
    naive = -spread * float(ndtri(alpha / 2))
    return WinnerInterval(
        winner=labels[kept[best]],
        n_trials=len(kept),
        sharpe=top,
        estimate=solve(0.5),
        lower=solve(1 - tail),
        upper=solve(tail),
        projection_lower=top - half,
        projection_upper=top + half,
        naive_lower=top - naive,
        naive_upper=top + naive,
        block_length=length,
    )


def truncation(sharpe: Floats, covariance: Floats, best: int) -> tuple[float, float]:
    """Between which values of its own ratio the winner wins, what is independent of it held fixed (prop. 1).

    `sharpe` [N] are the estimates, `covariance` [N] each one's covariance with the winner's, `best` its position.
    """
    variance = covariance[best]
    slope = 1 - covariance / variance
    rest = sharpe - covariance / variance * sharpe[best]  # what is independent of the winner's ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = rest / slope
    low = bound[slope > _SAME].max(initial=-np.inf)
    high = bound[slope < -_SAME].min(initial=np.inf)
    return min(float(low), float(sharpe[best])), max(float(high), float(sharpe[best]))


def hybrid(top: float, spread: float, bounds: tuple[float, float], wide: float) -> Callable[[float], float]:
    """The true ratio at which a winner's ratio is at most `top` with a given probability; it falls in that (sec. 4).

    `top` is the winner's observed ratio, `spread` its standard error, `bounds` its truncation, `wide` half the width
    of the projection interval that the answer is sought in.
    """
    from scipy.special import log_ndtr

    hair = 1e-9 * spread  # of room on either side of a tie
    low, high = min(bounds[0], top - hair), max(bounds[1], top + hair)

    def below(true: float) -> float:
        a, b = max(low, true - wide), min(high, true + wide)
        x, a, b = ((end - true) / spread for end in (top, a, b))
        if x <= a or b <= a:
            return 0.0
        flip = a > 0  # in the far tail only its mirror image has digits
        lower, upper = (-b, -a) if flip else (a, b)
        part = _log_between(lower, -x if flip else x, log_ndtr)
        share = math.exp(part - _log_between(lower, upper, log_ndtr)) if part > -math.inf else 0.0
        return 1 - share if flip else share

    def solve(probability: float) -> float:
        least, most = top - wide, top + wide
        while most - least > 1e-10 * spread:  # bisection: importing scipy.optimize takes longer than all of its steps
            middle = (least + most) / 2
            if middle in (least, most):
                break
            least, most = (middle, most) if below(middle) > probability else (least, middle)
        return (least + most) / 2

    return solve


def _log_between(a: float, b: float, log_ndtr: Callable[[float], float]) -> float:
    """ln P(a < Z < b)."""
    if b <= a:
        return -math.inf
    upper, lower = float(log_ndtr(b)), float(log_ndtr(a))
    return upper + math.log1p(-math.exp(lower - upper)) if lower < upper else -math.inf
