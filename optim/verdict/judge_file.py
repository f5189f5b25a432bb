"""What the statistics say of results that another tool found."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from engine.data.clock import periods_per_year_of
from optim.errors import SpecError, StatisticsError, counted, shown
from optim.spec.expressions import suggestion
from optim.validation.bootstrap import sharpe_confidence_interval
from optim.validation.haircut import METHODS, haircut_sharpe
from optim.validation.matrix import MIN_ROWS
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

_LONGEST = 1000  # years of data
UNKNOWN = "the null: whether the same search finds as much in a shuffled market cannot be known without the search"


def judge_matrix(
    matrix: Matrix, winner: str | None = None, benchmark: str | None = None, periods: float | None = None
) -> dict[str, Any]:
    """The statistics of the winner of a matrix of returns; Sharpe ratios annual. Raises StatisticsError, SpecError.

    winner, benchmark: names of columns; the largest Sharpe ratio and cash by default. periods: a year's, else inferred.
    """
    for name in (winner, benchmark):
        if name is not None and name not in matrix.names:
            raise SpecError(f"no column {shown(name)}{suggestion(name, matrix.names)}")
    if winner is not None and winner == benchmark:
        raise SpecError(f"{shown(winner)} cannot be both --winner and --benchmark")
    trials = [name for name in matrix.names if name != benchmark]
    values = matrix.values[:, [matrix.names.index(name) for name in trials]]
    ratios = sharpe_ratios(values, trials)
    best = winner if winner is not None else max(trials, key=lambda name: _or_least(ratios[name]))
    if ratios[best] != ratios[best]:
        raise StatisticsError(f"the returns of {shown(best)} do not vary: there is no Sharpe ratio to judge")
    year = periods_per_year_of(matrix.times, periods)
    own, root = matrix.values[:, matrix.names.index(best)], math.sqrt(year)
    found, spread = moments(own), _variance(ratios.values())
    shape = (found.skew, found.kurtosis)
    varying = [ratio == ratio for ratio in ratios.values()]
    several = effective_trials(values[:, varying]).n_trials > 1
    split = probability_of_backtest_overfitting(values, names=trials) if several else None
    return {
        **_span(matrix, year, len(trials), benchmark),
        "winner": best,
        "sharpe": found.sharpe * root,
        "luck": math.sqrt(spread) * expected_maximum_sharpe(len(trials)) * root,
        "effective": effective_trials(values, trials).effective,
        "psr": probabilistic_sharpe_ratio(found.sharpe, 0.0, found.n, *shape),
        "psr_long_run": long_run_probabilistic_sharpe_ratio(own),
        "dsr": deflated_sharpe_ratio(found.sharpe, found.n, len(trials), spread, *shape),
        "romano_wolf": {benchmark or CASH: _romano_wolf(matrix, values, trials, best, benchmark)},
        "pbo": split.pbo if split else None,
        "loss": split.probability_of_loss if split else None,
        "interval": _interval(values, trials, best, root),
        "unknown": [UNKNOWN],
    }


def _span(matrix: Matrix, year: float, n_trials: int, benchmark: str | None) -> dict[str, Any]:
    """What was read, in a line and in numbers."""
    first, last = (str(np.datetime64(int(matrix.times[i]), "ns").astype("datetime64[D]")) for i in (0, -1))
    periods, beside = len(matrix.values), f" beside {benchmark}" if benchmark else ""
    return {
        "what": f"returns of {counted(n_trials, 'trial')}{beside} over {counted(periods, 'period')}, "
        f"{first} to {last}, {year:g} a year",
        "trials": n_trials,
        "periods": periods,
        "first": first,
        "last": last,
        "periods_per_year": year,
    }


def _romano_wolf(matrix: Matrix, values: Any, trials: list[str], best: str, benchmark: str | None) -> float | None:
    """The winner's p-value over the benchmark, corrected for all trials; None where it does not differ from it."""
    against = np.zeros(len(values)) if benchmark is None else matrix.values[:, matrix.names.index(benchmark)]
    held = ("benchmark",)  # no trial has this name
    p_value = romano_wolf(np.column_stack([values, against]), held, [*trials, held]).p_values[best]
    return p_value if math.isfinite(p_value) else None


def _interval(values: Any, trials: list[str], best: str, root: float) -> list[float] | None:
    """Of the winner's true ratio a year, 95 %; None for one that was chosen, and not as the largest."""
    if len(trials) == 1:
        alone = sharpe_confidence_interval(values[:, 0])
        return [alone.lower * root, alone.upper * root]
    ends = winner_interval(values, names=trials)
    return [ends.lower * root, ends.upper * root] if ends.winner == best else None


def judge_table(
    table: Table, winner: str | None = None, years: float | None = None, periods: float | None = None
) -> dict[str, Any]:
    """What can be said of annual Sharpe ratios alone. Raises SpecError, StatisticsError.

    winner: a trial's name, the largest ratio by default. years of data behind each, periods a year: else the file's.
    """
    span, year = years or table.years, periods or table.periods_per_year
    if span is None:
        raise SpecError("how many years of data are behind the Sharpe ratios? say --years Y")
    if span * year < MIN_ROWS or span > _LONGEST:
        raise SpecError(
            f"{span:.3g} years of {year:g} periods: it must be at least {MIN_ROWS} periods and at most {_LONGEST} years"
        )
    if winner is not None and winner not in table.sharpes:
        raise SpecError(f"no trial {shown(winner)}{suggestion(winner, table.sharpes)}")
    root, n = math.sqrt(year), int(span * year)
    own: dict[Hashable, float] = {name: value / root for name, value in table.sharpes.items()}
    best = winner if winner is not None else max(own, key=lambda name: _or_least(own[name]))
    if own[best] != own[best]:
        raise StatisticsError(f"{shown(best)} has no Sharpe ratio to judge")
    spread = _variance(own.values())
    cuts = {method: haircut_sharpe(own, n, method)[best] for method in METHODS}
    return {
        "what": f"{table.what}, {span:.3g} years, {year:g} periods a year",
        "trials": len(own),
        "years": span,
        "periods_per_year": year,
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


def _variance(ratios: Iterable[float]) -> float:
    """Of the Sharpe ratios there are, ddof 1; 0 where there are fewer than two."""
    finite = [ratio for ratio in ratios if ratio == ratio]
    return float(np.var(finite, ddof=1)) if len(finite) > 1 else 0.0


def _or_least(ratio: float) -> float:
    return -math.inf if ratio != ratio else ratio
