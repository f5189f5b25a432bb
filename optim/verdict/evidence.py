"""The statistics beside the null: what the returns of all trials say about the winner among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import romano_wolf
from optim.validation.selection import winner_interval
from optim.validation.statistics import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    long_run_probabilistic_sharpe_ratio,
    moments,
    probabilistic_sharpe_ratio,
    sharpe_ratios,
)
from optim.verdict.returns import HOLD, Returns

CASH = "cash"
_BLOCKS = 16  # of CSCV
_ROWS = 2 * _BLOCKS


class Evidence(NamedTuple):
    """Sharpe ratios are annual, from daily returns; NaN where a number cannot be had. Sources: docs/statistics.md."""

    days: int
    tried: int  # distinct points
    effective: float  # as many independent ones
    sharpe: float  # the winner's, over the searched bars in one run
    luck: float  # deflation threshold: expected best of as many trials without skill that spread as these do
    psr: float  # probability that the true ratio is above 0, as if nothing had been chosen
    psr_long_run: float  # likewise, for returns that depend on each other
    dsr: float  # deflated: above that threshold
    interval: tuple[float, float]  # of the true ratio of a winner, 95 %
    romano_wolf: dict[str, float]  # the winner's p-value by benchmark, corrected for all trials
    pbo: float  # share of splits in which the in-sample winner was below the median out of sample
    loss: float  # share of splits in which it lost money
    p_values: dict[Any, float]  # of every trial over buying and holding, likewise; those that are below 1
    alike: tuple[int, ...]  # trials that the data cannot tell from the winner: none is worse at 5 %, all corrected


def evidence(returns: Returns, winner: int) -> Evidence | str:
    """The statistics of the trial with this number, or one sentence on why there are none."""
    if winner not in returns.names:
        return "the winner has no daily returns over the searched bars"
    if len(returns.values) < _ROWS:
        return f"{len(returns.values)} days are too few for statistics: they need {_ROWS}"
    column = list(returns.names).index(winner)
    own = returns.values[:, column]
    try:
        return _evidence(returns, winner, own)
    except StatisticsError as error:
        return f"no statistics: {error}"


def _evidence(returns: Returns, winner: int, own: Any) -> Evidence:
    trials = returns.values[:, :-1]
    names = returns.names[:-1]
    ratios = np.array(list(sharpe_ratios(trials, names).values()))
    spread = float(np.nanvar(ratios, ddof=1)) if np.isfinite(ratios).sum() > 1 else 0.0
    found, year = moments(own), math.sqrt(days_a_year(returns.days))
    if math.isnan(found.sharpe):
        raise StatisticsError("the winner never trades on the searched bars in one run")
    counted = effective_trials(trials, names)
    shape = (found.skew, found.kurtosis)
    several = len(names) > 1
    split = probability_of_backtest_overfitting(trials, _BLOCKS, names) if several else None
    over_holding = romano_wolf(returns.values, HOLD, returns.names).p_values
    ends = winner_interval(trials, names=names) if several else None
    return Evidence(
        len(own),
        returns.tried,
        counted.effective,
        found.sharpe * year,
        math.sqrt(spread) * expected_maximum_sharpe(returns.tried) * year,
        probabilistic_sharpe_ratio(found.sharpe, 0.0, found.n, *shape),
        long_run_probabilistic_sharpe_ratio(own),
        deflated_sharpe_ratio(found.sharpe, found.n, returns.tried, spread, *shape),
        (ends.lower * year, ends.upper * year) if ends is not None and ends.winner == winner else (math.nan, math.nan),
        {HOLD: over_holding[winner], CASH: _over_cash(returns)[winner]},
        split.pbo if split else math.nan,
        split.probability_of_loss if split else math.nan,
        {name: p for name, p in over_holding.items() if p < 1.0},
        _alike(trials, names, own, winner),
    )


def _alike(trials: Any, names: tuple[Any, ...], own: Any, winner: int) -> tuple[int, ...]:
    """The trials of which Romano and Wolf's test does not say at 5 % that the winner is better."""
    lead = own[:, None] - trials
    try:
        beaten = romano_wolf(np.column_stack([lead, np.zeros(len(own))]), CASH, (*names, CASH)).better()
    except StatisticsError:  # all trials are one
        beaten = []
    return tuple(name for name in names if name not in set(beaten) and name != winner)


def _over_cash(returns: Returns) -> Mapping[Any, float]:
    """Romano and Wolf's p-value of every trial over earning nothing."""
    values = np.column_stack([returns.values[:, :-1], np.zeros(len(returns.values))])
    return romano_wolf(values, CASH, (*returns.names[:-1], CASH)).p_values


def days_a_year(days: Any) -> float:
    """Rows a year of daily returns: as many as there are in the years they span."""
    span = float(days[-1] - days[0]) + 1.0
    return len(days) / span * 365.25
