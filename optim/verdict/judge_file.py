"""What the statistics say of results that another tool found."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np

from engine.data.clock import periods_per_year_of
from optim.errors import SpecError, shown
from optim.spec.expressions import suggestion
from optim.validation.haircut import METHODS, haircut_sharpe
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import romano_wolf
from optim.validation.selection import winner_interval
from optim.validation.statistics import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    long_run_probabilistic_sharpe_ratio,
    min_backtest_length,
    moments,
    probabilistic_sharpe_ratio,
    sharpe_ratios,
)
from optim.verdict.evidence import CASH
from optim.verdict.foreign import Matrix, Table

UNKNOWN = "the null: whether the same search finds as much in a shuffled market cannot be known without the search"


def judge_matrix(matrix: Matrix, winner: str | None, benchmark: str | None, periods: float | None) -> dict[str, Any]:
    """The statistics of the winner of a matrix of returns; Sharpe ratios annual. Raises StatisticsError, SpecError.

    winner, benchmark: names of columns; the largest Sharpe ratio and cash by default. periods: a year's, else inferred.
    """
    year = periods_per_year_of(matrix.times, periods)
    trials = [name for name in matrix.names if name != benchmark]
    for name in (winner, benchmark):
        if name is not None and name not in matrix.names:
            raise SpecError(f"no column {shown(name)}{suggestion(name, matrix.names)}")
    values = matrix.values[:, [matrix.names.index(name) for name in trials]]
    ratios = sharpe_ratios(values, trials)
    best = str(winner if winner is not None else max(trials, key=lambda name: _or_least(ratios[name])))
    own = matrix.values[:, matrix.names.index(best)]
    found, several = moments(own), len(trials) > 1
    spread = float(np.nanvar(list(ratios.values()), ddof=1)) if several else 0.0
    shape, root = (found.skew, found.kurtosis), math.sqrt(year)
    against = matrix.values[:, matrix.names.index(benchmark)] if benchmark else np.zeros(len(own))
    named = benchmark or CASH
    split = probability_of_backtest_overfitting(values, names=trials) if several else None
    ends = winner_interval(values, names=trials) if several else None
    return {
        "what": matrix.what,
        "periods_per_year": year,
        "winner": best,
        "sharpe": found.sharpe * root,
        "luck": math.sqrt(spread) * expected_maximum_sharpe(len(trials)) * root,
        "effective": effective_trials(values, trials).effective,
        "psr": probabilistic_sharpe_ratio(found.sharpe, 0.0, found.n, *shape),
        "psr_long_run": long_run_probabilistic_sharpe_ratio(own),
        "dsr": deflated_sharpe_ratio(found.sharpe, found.n, len(trials), spread, *shape),
        "romano_wolf": {named: romano_wolf(np.column_stack([values, against]), named, [*trials, named]).p_values[best]},
        "pbo": split.pbo if split else None,
        "loss": split.probability_of_loss if split else None,
        "interval": [ends.lower * root, ends.upper * root] if ends is not None and ends.winner == best else None,
        "unknown": [UNKNOWN],
    }


def judge_table(table: Table, years: float | None, periods: float | None) -> dict[str, Any]:
    """What can be said of annual Sharpe ratios alone. years: of data behind each; periods: a year's, 252 by default.

    Raises SpecError without years.
    """
    span, year = years or table.years, periods or 252.0
    if span is None:
        raise SpecError("how many years of data are behind the Sharpe ratios? say --years Y")
    root, n = math.sqrt(year), int(span * year)
    own: dict[Hashable, float] = {name: value / root for name, value in table.sharpes.items()}
    best = max(own, key=lambda name: _or_least(own[name]))
    finite = [value for value in own.values() if value == value]
    spread = float(np.var(finite, ddof=1)) if len(finite) > 1 else 0.0
    cuts = {method: haircut_sharpe(own, n, method)[best] for method in METHODS}
    return {
        "what": table.what,
        "years": span,
        "winner": best,
        "sharpe": own[best] * root,
        "luck": math.sqrt(spread) * expected_maximum_sharpe(len(own)) * root,
        "dsr": deflated_sharpe_ratio(own[best], n, len(own), spread, 0.0, 3.0),
        "haircut": {
            method: {"p_value": one.adjusted_p_value, "sharpe": one.adjusted_sharpe * root}
            for method, one in cuts.items()
        },
        "min_backtest_years": min_backtest_length(len(own), own[best] * root) if own[best] > 0 else None,
        "unknown": [
            "skewness, kurtosis and dependence of the returns: a normal, independent record is assumed",
            "Romano-Wolf and overfitting: they need the returns of every trial",
            UNKNOWN,
        ],
    }


def _or_least(ratio: float) -> float:
    return -math.inf if ratio != ratio else ratio
