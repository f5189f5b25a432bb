"""Sharpe ratios and what remains of them once one asks how many were tried: closed forms, no simulation.

All Sharpe ratios are per period, not annual, unless said; kurtosis is not in excess (3 for a normal distribution).

1. Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012.
2. Bailey & Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014.
3. Bailey, Borwein, Lopez de Prado & Zhu, "Pseudo-Mathematics and Financial Charlatanism", Notices AMS 61(5), 2014.
4. Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), 2002.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.haircut import Haircut, haircut_sharpe, required_sharpe
from optim.validation.longrun import long_run_variance, sharpe_influence
from optim.validation.matrix import checked, checked_series, distinct, is_flat, number, standardised

__all__ = [
    "EffectiveTrials",
    "Haircut",
    "Moments",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_maximum_sharpe",
    "haircut_sharpe",
    "long_run_probabilistic_sharpe_ratio",
    "min_backtest_length",
    "min_track_record_length",
    "moments",
    "probabilistic_sharpe_ratio",
    "required_sharpe",
    "sharpe_ratio",
    "sharpe_ratios",
]


class Moments(NamedTuple):
    """What the formulas ask of a trial: Sharpe ratio (ddof 1), periods, skewness, kurtosis (biased, not in excess)."""

    sharpe: float
    n: int
    skew: float
    kurtosis: float


class EffectiveTrials(NamedTuple):
    """Distinct trials, their mean pairwise correlation, and as how many independent ones they count."""

    n_trials: int
    mean_correlation: float
    effective: float


def sharpe_ratio(returns: Any) -> float:
    """Mean over standard deviation (ddof 1) of returns float[T], per period; NaN if they are flat.

    Raises:
        StatisticsError: fewer than 30 returns, or one that is not finite.
    """
    return moments(returns).sharpe


def moments(returns: Any) -> Moments:
    """Sharpe ratio, number of periods, skewness and kurtosis of returns float[T]; NaN if they are flat.

    Raises:
        StatisticsError: fewer than 30 returns, or one that is not finite.
    """
    values = checked_series(returns)[:, None]
    if is_flat(values)[0]:
        return Moments(math.nan, len(values), math.nan, math.nan)
    z, sharpe = standardised(values)
    return Moments(float(sharpe[0]), len(values), float((z**3).mean()), float((z**4).mean()))


def sharpe_ratios(returns: Any, names: Sequence[Hashable] | None = None) -> dict[Hashable, float]:
    """The Sharpe ratio of each column of returns T x N by its name, per period; NaN for a flat one.

    Raises:
        StatisticsError: see `optim.validation.matrix.checked`.
    """
    values, labels = checked(returns, names)
    _, sharpe = standardised(values)
    return dict(zip(labels, np.where(is_flat(values), np.nan, sharpe).tolist(), strict=True))


def probabilistic_sharpe_ratio(sr: float, sr_benchmark: float, n: int, skew: float, kurtosis: float) -> float:
    """The probability that the true Sharpe ratio exceeds `sr_benchmark`, were the n returns independent; [1] eq. 11.

    Phi[(sr - sr*) sqrt(n - 1) / sqrt(1 - skew sr + (kurtosis - 1) / 4 sr^2)]. It assumes independent periods; for
    trades that overlap take `long_run_probabilistic_sharpe_ratio`.

    Raises:
        StatisticsError: a number that is not finite, n < 2, or kurtosis < 1 + skew^2, which no distribution has.
    """
    spread = math.sqrt(_sharpe_variance(sr, skew, kurtosis))
    gap = (sr - number("sr_benchmark", sr_benchmark)) * math.sqrt(number("n", n, 2) - 1)
    return _normal(gap, spread)


def min_track_record_length(
    sr: float, sr_benchmark: float, skew: float, kurtosis: float, confidence: float = 0.95
) -> float:
    """Periods until `probabilistic_sharpe_ratio` reaches `confidence`; infinite if sr <= sr_benchmark; [1] eq. 13.

    Raises:
        StatisticsError: a number that is not finite, confidence not in (0.5, 1), or kurtosis < 1 + skew^2.
    """
    from scipy.special import ndtri

    variance = _sharpe_variance(sr, skew, kurtosis)
    level = number("confidence", confidence, 0.5, math.nextafter(1, 0), above=True)
    gap = sr - number("sr_benchmark", sr_benchmark)
    return 1 + variance * float(ndtri(level) / gap) ** 2 if gap > 0 else math.inf


def expected_maximum_sharpe(n_trials: float) -> float:
    """The expected largest of n_trials independent standard normal numbers; [2] eq. 1, from extreme value theory.

    (1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e)), g Euler's constant. It approximates: 1.5746 for 10, exactly 1.5388.
    Times the deviation of the trials' Sharpe ratios it is the deflated ratio's threshold. One trial has no choice:
    0, which is also the least value (the approximation falls below it for less than two trials).

    Raises:
        StatisticsError: n_trials < 1; it need not be whole.
    """
    from scipy.special import ndtri

    one_of = 1 / number("n_trials", n_trials, 1)
    if one_of == 1:
        return 0.0
    weight = float(np.euler_gamma)
    return max(0.0, float(-(1 - weight) * ndtri(one_of) - weight * ndtri(one_of / math.e)))


def deflated_sharpe_ratio(
    sr: float, n: int, n_trials: float, sr_variance: float, skew: float, kurtosis: float
) -> float:
    """The probabilistic Sharpe ratio against the best Sharpe ratio that n_trials without skill would show; [2] eq. 2.

    The benchmark is sqrt(sr_variance) * expected_maximum_sharpe(n_trials); sr_variance is the variance of the trials'
    Sharpe ratios per period, n the number of periods, n_trials the raw number (conservative) or the effective one.

    Raises:
        StatisticsError: as `probabilistic_sharpe_ratio`; n_trials < 1 or sr_variance < 0.
    """
    threshold = math.sqrt(number("sr_variance", sr_variance, 0)) * expected_maximum_sharpe(n_trials)
    return probabilistic_sharpe_ratio(sr, threshold, n, skew, kurtosis)


def effective_trials(returns: Any, names: Sequence[Hashable] | None = None) -> EffectiveTrials:
    """As how many independent trials the distinct columns of returns T x N count: r + (1 - r) N; [2] appendix A.3.

    r is the mean pairwise correlation, at least 0. A flat column is a trial that correlates with none. The number of
    eigenvalues or clusters is smaller still, but with the raw variance of Sharpe ratios it counts correlation twice.

    Raises:
        StatisticsError: see `optim.validation.matrix.checked`.
    """
    values = checked(returns, names).values
    z, _ = standardised(values[:, distinct(values)[0]])
    rows, count = z.shape
    active = int((z != 0).any(axis=0).sum())
    total = z.sum(axis=1)  # the sum over all pairs is a square: |z_1 + ... + z_N|^2 / T = N + 2 sum of r_ij
    r = float((total @ total / rows - active) / (count * (count - 1))) if count > 1 else 0.0
    r = min(max(r, 0.0), 1.0)
    return EffectiveTrials(count, r, r + (1 - r) * count)


def min_backtest_length(n_trials: float, sharpe: float) -> float:
    """Years a backtest must have for the best of n_trials without skill to be expected below `sharpe`; [3] theorem 1.

    (expected_maximum_sharpe(n_trials) / sharpe)^2, `sharpe` annual: after 45 trials on five years expect a 1.

    Raises:
        StatisticsError: n_trials < 1 or sharpe <= 0.
    """
    return (expected_maximum_sharpe(n_trials) / number("sharpe", sharpe, 0, above=True)) ** 2


def long_run_probabilistic_sharpe_ratio(returns: Any, sr_benchmark: float = 0.0) -> float:
    """The probabilistic Sharpe ratio of returns float[T] that may depend on each other; NaN if they are flat.

    As [1], but the variance of the Sharpe ratio is the long-run variance of its influence function ([4] sec. "Time
    aggregation", by GMM; see `optim.validation.longrun`). Equal to the textbook one, but for ddof, without dependence.

    Raises:
        StatisticsError: fewer than 30 returns, one that is not finite, or a benchmark that is not.
    """
    values = checked_series(returns)[:, None]
    benchmark = number("sr_benchmark", sr_benchmark)
    if is_flat(values)[0]:
        return math.nan
    influence, sharpe = sharpe_influence(values)
    spread = math.sqrt(long_run_variance(influence[:, 0]))
    return _normal((float(sharpe[0]) - benchmark) * math.sqrt(len(values) - 1), spread)


def _sharpe_variance(sr: float, skew: float, kurtosis: float) -> float:
    """The variance of an estimated Sharpe ratio times the number of periods."""
    number("sr", sr)
    least = 1 + number("skew", skew) ** 2
    if number("kurtosis", kurtosis) < least * (1 - 1e-9):
        raise StatisticsError(
            f"kurtosis is {kurtosis:g}, but with a skewness of {skew:g} it is at least {least:g}: "
            "pass it not in excess (3 for a normal distribution)"
        )
    return max(0.0, 1 - skew * sr + (kurtosis - 1) / 4 * sr**2)


def _normal(gap: float, spread: float) -> float:
    """Phi(gap / spread), its limit where the spread is 0."""
    from scipy.special import ndtr

    return float(ndtr(gap / spread)) if spread > 0 else 0.5 + 0.5 * math.copysign(gap != 0, gap)
