"""Before a study is run: what its data can bear, and what it could tell from luck."""

from __future__ import annotations

import math
import statistics
import time
from typing import NamedTuple

from optim.problem.plan import Plan
from optim.validation.statistics import expected_maximum_sharpe, min_backtest_length
from optim.verdict.markets import Market, kinds_of, winner_on
from optim.verdict.null import Winner

_FEWEST, _MOST = 10, 60  # markets whose winners say something, and with which it is said well enough
_POWER = 0.8416  # standard normal quantile of 80 %
_YEAR = 365.25 * 86_400e9


class Bearing(NamedTuple):
    """What a study of so many trials can be expected to find where there is nothing, and to tell from it."""

    years: float  # of searched bars, of the shortest instrument
    n_trials: int
    chance: float  # annual Sharpe ratio that the best of so many independent trials without skill is expected to show
    min_years: float  # for it to be a Sharpe ratio below 1 (MinBTL)
    bars_per_parameter: float  # inf where nothing is searched
    markets: int  # shuffled ones that were searched
    detectable: float  # by the first objective: what is told from luck in four of five cases; NaN with few markets


def bearing(plan: Plan, seconds: float) -> Bearing:
    """What the study's data can bear; shuffled markets are searched in this process for so long, nothing is kept."""
    size = plan.space.size()
    n_trials = int(min(plan.spec.study.n_trials, size))
    spans = [_years(plan, cell.instrument, cell.stop) for cell in plan.searched]
    bars = min(cell.stop for cell in plan.searched)
    n_parameters = len(plan.space.parameters)
    winners = _winners(plan, seconds)
    return Bearing(
        min(spans),
        n_trials,
        expected_maximum_sharpe(n_trials) / math.sqrt(min(spans)),
        min_backtest_length(n_trials, 1.0),
        bars / n_parameters if n_parameters else math.inf,
        len(winners),
        detectable(winners, plan.objective.goals[0].direction),
    )


def detectable(winners: list[Winner], direction: str) -> float:
    """The value that a real winner must be worth to beat 95 % of the null's winners in four of five cases.

    The 95 % quantile of the null's winners, and .84 of their deviation beyond it: the real one is as uncertain as they
    are. NaN with fewer than ten.
    """
    found = [winner for winner in winners if winner is not None]
    if len(found) < _FEWEST:
        return math.nan
    cut = statistics.quantiles(found, n=20, method="inclusive")
    spread = statistics.stdev(found)
    return cut[-1] + _POWER * spread if direction == "maximize" else cut[0] - _POWER * spread


def _winners(plan: Plan, seconds: float) -> list[Winner]:
    deadline, found = time.monotonic() + seconds, list[Winner]()
    kinds = kinds_of(plan)
    while time.monotonic() < deadline and len(found) < _MOST:
        number, kind = divmod(len(found), len(kinds))
        found.append(winner_on(plan, Market(kinds[kind], number)))
    return found


def _years(plan: Plan, instrument: int, stop: int) -> float:
    times = plan.job.instruments[max(instrument, 0)].timestamp
    return max(float(times[stop - 1] - times[0]) / _YEAR, 1 / 365.25)
