"""Is any trial better than a named benchmark, and which: tests that know how many trials there were.

1. White, "A Reality Check for Data Snooping", Econometrica 68(5), 2000.
2. Hansen, "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics 23(4), 2005.
3. Romano & Wolf, "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73(4), 2005.
4. Romano & Wolf, "Efficient Computation of Adjusted p-Values for Resampling-Based Stepdown Multiple Testing",
   Statistics & Probability Letters 113, 2016.

All bootstrap means are one matrix product: how often each period was drawn, times the excess returns.
An adaptive search chooses its trials by looking, which the bootstrap does not know: p is then a little too small (a
true level of about 10 % at 5 %).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.bootstrap import MAX_DRAWS, bootstrap_counts, common_block_length, standard_errors
from optim.validation.matrix import Floats, checked, distinct, excess_over, position, whole


class RealityCheck(NamedTuple):
    """White's test: p-value, the trial with the largest mean excess (per period), the benchmark it was held against."""

    p_value: float
    best: Hashable
    mean_excess: float
    benchmark: Hashable
    block_length: float


class SuperiorAbility(NamedTuple):
    """Hansen's test: three p-values (lower <= consistent <= upper), the best trial and its studentised mean excess."""

    lower: float
    consistent: float
    upper: float
    best: Hashable
    statistic: float
    benchmark: Hashable
    block_length: float


class StepDown(NamedTuple):
    """Romano and Wolf's test: each trial's adjusted p-value and studentised mean excess by name, in column order."""

    p_values: dict[Hashable, float]
    statistics: dict[Hashable, float]
    benchmark: Hashable
    block_length: float

    def better(self, significance: float = 0.05) -> list[Hashable]:
        """The trials that beat the benchmark; the chance of a single false one among them is `significance`."""
        return [name for name, p in self.p_values.items() if p <= significance]


class _Excess(NamedTuple):
    """Mean excess over the benchmark [M], its standard error [M], and how far each draw's mean is from it [B, M].

    M distinct trials that vary, and so do their excess returns; `of` [N] is the one of M that stands for a column, -1
    for the benchmark itself and for a flat column.
    """

    mean: Floats
    error: Floats
    drawn: Floats
    names: tuple[Hashable, ...]
    of: list[int]
    columns: tuple[Hashable, ...]
    rows: int
    block_length: float

    def p_value(self, drawn: Floats, statistic: float) -> float:
        """The share of draws whose largest value is no smaller, the observed one counted with them."""
        return float((1 + np.count_nonzero(drawn.max(axis=1) >= statistic)) / (len(drawn) + 1))


def reality_check(
    returns: Any,
    benchmark: Hashable,
    names: Sequence[Hashable] | None = None,
    n_draws: int = 1000,
    block_length: float | None = None,
    seed: int = 0,
) -> RealityCheck:
    """White's Reality Check [1]: could the largest mean excess return over the benchmark be luck?

    It does not studentise: one column of much risk and no skill hides the others. Prefer `spa`.

    Args:
        returns: T x N, one column of them the benchmark; see `optim.validation.matrix.checked`.
        benchmark: the name of its column.
        names: the columns' names, unless returns are a DataFrame.
        n_draws: bootstrap samples; the smallest possible p-value is 1 / (n_draws + 1).
        block_length: mean number of periods in a block, chosen from the data by default.
        seed: of the draws; the same seed gives the same p-value.

    Raises:
        StatisticsError: no such benchmark, no trial beside it that varies, or unusable returns.
    """
    excess = _excess(returns, benchmark, names, n_draws, block_length, seed)
    best = int(excess.mean.argmax())
    p = excess.p_value(excess.drawn, excess.mean[best])
    return RealityCheck(p, excess.names[best], float(excess.mean[best]), benchmark, excess.block_length)


def spa(
    returns: Any,
    benchmark: Hashable,
    names: Sequence[Hashable] | None = None,
    n_draws: int = 1000,
    block_length: float | None = None,
    seed: int = 0,
) -> SuperiorAbility:
    """Hansen's test for superior predictive ability [2]: could the largest studentised mean excess be luck?

    `consistent` is the p-value to use. `lower` takes every trial that did worse than the benchmark to be as bad
    as it looked, `consistent` only those far below it, `upper` none (the studentised Reality Check). If no trial did
    better than the benchmark all three are 1. Arguments and errors as `reality_check`.
    """
    excess = _excess(returns, benchmark, names, n_draws, block_length, seed)
    t = excess.mean / excess.error
    drawn = excess.drawn / excess.error
    best = int(t.argmax())
    statistic = max(0.0, float(t[best]))
    hopeless = t < -math.sqrt(2 * math.log(math.log(excess.rows)))
    # The mean of a column under the null, over its error: how much worse than the benchmark it may be.
    nulls = (np.minimum(t, 0.0), np.where(hopeless, t, 0.0), np.zeros_like(t))
    lower, consistent, upper = (excess.p_value(np.maximum(drawn + null, 0.0), statistic) for null in nulls)
    return SuperiorAbility(lower, consistent, upper, excess.names[best], float(t[best]), benchmark, excess.block_length)


def romano_wolf(
    returns: Any,
    benchmark: Hashable,
    names: Sequence[Hashable] | None = None,
    n_draws: int = 1000,
    block_length: float | None = None,
    seed: int = 0,
) -> StepDown:
    """Which trials are better than the benchmark: step-down p-values for all of them at once [3, 4].

    Studentised by the long-run standard error. A trial that is flat is no evidence: p = 1, statistic 0; so is one that
    equals the benchmark. The benchmark itself is left out. Arguments and errors as `reality_check`.
    """
    excess = _excess(returns, benchmark, names, n_draws, block_length, seed)
    t = excess.mean / excess.error
    order = np.argsort(-t, kind="stable")
    # The largest drawn value among a trial and all that are worse; then p-values never fall on the way down.
    rest = np.maximum.accumulate((excess.drawn / excess.error)[:, order[::-1]], axis=1)[:, ::-1]
    exceeding = np.count_nonzero(rest >= t[order], axis=0)
    p = np.empty_like(t)
    p[order] = np.maximum.accumulate((1 + exceeding) / (len(rest) + 1))
    trials = [(name, of) for name, of in zip(excess.columns, excess.of, strict=True) if name != benchmark]
    return StepDown(
        {name: float(p[of]) if of >= 0 else 1.0 for name, of in trials},
        {name: float(t[of]) if of >= 0 else 0.0 for name, of in trials},
        benchmark,
        excess.block_length,
    )


def _excess(
    returns: Any,
    benchmark: Hashable,
    names: Sequence[Hashable] | None,
    n_draws: int,
    block_length: float | None,
    seed: int,
) -> _Excess:
    values, columns = checked(returns, names)
    draws = whole("n_draws", n_draws, 1, MAX_DRAWS)
    difference, usable = excess_over(values, position(columns, benchmark))
    if not usable.any():
        raise StatisticsError("no column of returns varies beside the benchmark: there is nothing to compare")
    first, group = distinct(values[:, usable])
    kept = np.flatnonzero(usable)[first]
    of = np.full(len(columns), -1)
    of[usable] = group
    difference = difference[:, kept]
    mean = difference.mean(axis=0)
    length = common_block_length(difference, block_length)
    drawn = bootstrap_counts(len(values), length, draws, seed) @ difference / len(values) - mean
    error = standard_errors(difference, length)
    return _Excess(
        mean, error, drawn, tuple(columns[column] for column in kept), of.tolist(), columns, len(values), length
    )
