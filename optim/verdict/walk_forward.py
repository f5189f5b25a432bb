"""Walk-forward: a search of its own for every window, its winner tried on the bars that follow.

Pardo, "The Evaluation and Optimization of Trading Strategies", 2008. It is reported, it decides nothing: what it shows
is how the whole procedure, searched again and again, would have done.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial

from engine.data.cells import Cell
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.search.ranking import winner_of
from optim.search.search import search
from optim.spec.space import Point
from optim.verdict.farm import Farm
from optim.verdict.finite import finite
from optim.verdict.returns import Floats, daily_returns, days_of, value_over
from optim.verdict.windows import Span, on_span, spans, tried_cells
from optim.workers.pool import Pool

WALK = "optim:walk_forward"  # in the record: the windows searched so far; with a number behind it, a window's trials


class Window(NamedTuple):
    """A window's winner, in sample and on the bars that follow."""

    span: Span
    params: dict[str, Any]  # empty where the search found nothing feasible
    in_sample: float  # the first objective over the training cells; NaN without a winner
    out_of_sample: float  # over the tried bars
    in_return: float  # a year, over the training bars in one run
    days: tuple[int, ...]  # of the tried bars, since 1970
    returns: tuple[float, ...]  # net, of each of these days; 0 without a winner


class Tried(NamedTuple):
    """A trial of a window's search."""

    params: dict[str, Any]
    value: float | None  # of the first objective
    state: str  # Optuna's
    start: int  # ms since the epoch
    end: int


class WalkForward(NamedTuple):
    """All windows together."""

    windows: tuple[Window, ...]
    total_return: float  # of the stitched equity
    sharpe_ratio: float  # annual, from its daily returns
    max_drawdown: float
    efficiency: float  # return a year out of sample / in sample, the mean of the windows'
    drift: float  # how far the winner moves from window to window: mean share of each parameter's range


def walk_forward(
    plan: Plan,
    record: Record,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, told: None,
) -> WalkForward | None:
    """Search every window, in parallel; windows that are in the record already are taken from it. None when stopped.

    plan: as it was searched. progress: windows done, windows in all. Raises SpecError where there is no window.
    """
    given = plan.spec.validation.walk_forward
    assert given is not None
    wanted = spans(plan, given)
    identity = _identity(plan)
    found = _known(record, identity)[: len(wanted)]
    if len(found) < len(wanted) and not stop():
        with Farm(plan, plan.spec.parallel.n_jobs) as farm:
            for _, (window, tried) in farm.map(search_window, wanted[len(found) :], stop):
                record.note(f"{WALK}:{len(found)}", finite(tried))
                found.append(window)
                record.note(WALK, {"identity": identity, "windows": finite(found)})
                progress(len(found), len(wanted))
    return together(plan, found) if len(found) == len(wanted) else None


def recorded_windows(plan: Plan, record: Record) -> list[tuple[Window, list[Tried]]]:
    """The windows that have been searched, each with the trials of its search. plan: as it was searched."""
    if plan.spec.validation.walk_forward is None:
        return []
    windows = _known(record, _identity(plan))
    return [(one, [Tried(*row) for row in record.noted(f"{WALK}:{i}") or []]) for i, one in enumerate(windows)]


def search_window(plan: Plan, span: Span) -> tuple[Window, list[Tried]]:
    """One window, in this process."""
    trained = on_span(plan, span)
    with Pool(trained.job, n_jobs=1, backend="sequential") as pool:
        trials, _ = search(trained, pool=pool)
        best = winner_of(plan, trials)
        inside = None if best is None else _returns(trained, best.params, trained.searched, pool)
    cells = tried_cells(plan, span)
    days = days_of(plan, cells)
    if best is None:
        return Window(span, {}, math.nan, math.nan, math.nan, _listed(days), (0.0,) * len(days)), _tried(trials)
    with Pool(plan.job, n_jobs=1, backend="sequential") as pool:
        outside = _returns(plan, best.params, cells, pool)
        value = value_over(plan, pool.run([plan.trial_task(best.params, cells)])[0])
    grown = math.nan if inside is None else _yearly(inside, days_of(trained, trained.searched))
    tried = np.zeros(len(days)) if outside is None else outside
    window = Window(span, dict(best.params), float(best.values[0]), value, grown, _listed(days), _listed(tried))
    return window, _tried(trials)


def _tried(trials: Sequence[FrozenTrial]) -> list[Tried]:
    def moment(at: datetime | None) -> int:
        return round(at.timestamp() * 1000) if at else 0

    return [
        Tried(
            dict(trial.params),
            trial.values[0] if trial.values else None,
            trial.state.name,
            moment(trial.datetime_start),
            moment(trial.datetime_complete),
        )
        for trial in trials
    ]


def _returns(plan: Plan, point: Point, cells: tuple[Cell, ...], pool: Pool) -> Floats | None:
    task = plan.task(point, cells)._replace(curve=True)
    return daily_returns(plan, task, pool.run([task])[0], days_of(plan, cells))


def _listed(values: Any) -> tuple[Any, ...]:
    return tuple(values.tolist())


def together(plan: Plan, windows: list[Window]) -> WalkForward:
    """The stitched equity and what it amounts to."""
    returns = np.concatenate([window.returns for window in windows])
    equity = np.cumprod(1.0 + returns)
    days = np.concatenate([window.days for window in windows])
    year = len(days) / (float(days[-1] - days[0]) + 1.0) * 365.25
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    ratios = [_yearly(window.returns, window.days) / window.in_return for window in windows if window.in_return > 0]
    return WalkForward(
        tuple(windows),
        float(equity[-1] - 1.0),
        float(returns.mean()) / deviation * math.sqrt(year) if deviation > 0 else math.nan,
        float((equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0).min()),
        float(np.mean(ratios)) if ratios else math.nan,
        _drift(plan, [window.params for window in windows if window.params]),
    )


def _drift(plan: Plan, points: list[dict[str, Any]]) -> float:
    """The mean distance of neighbouring winners over the parameters both have; of a choice 0 or 1."""
    steps = []
    for one, other in itertools.pairwise(points):
        for parameter in plan.space.parameters:
            if parameter.name in one and parameter.name in other:
                a, b = one[parameter.name], other[parameter.name]
                choice = parameter.type == "categorical"
                steps.append(float(a != b) if choice else abs(parameter.unit(a) - parameter.unit(b)))
    return float(np.mean(steps)) if steps else math.nan


def _yearly(returns: Any, days: Any) -> float:
    """The return a year of daily returns."""
    grown = float(np.prod(1.0 + np.asarray(returns)))
    return grown ** (365.25 / (days[-1] - days[0] + 1.0)) - 1.0 if grown > 0 else -1.0


def _identity(plan: Plan) -> str:
    given, study = plan.spec.validation.walk_forward, plan.spec.study
    windows = given.model_dump() if given else None
    text = json.dumps([plan.fingerprint(), study.n_trials, study.select, windows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _known(record: Record, identity: str) -> list[Window]:
    kept: Mapping[str, Any] = record.noted(WALK) or {}
    rows = kept.get("windows", []) if kept.get("identity") == identity else []
    return [Window(*map(_read, Window._fields, row)) for row in rows]


def _read(name: str, value: Any) -> Any:
    """A part of a window from plain data."""
    if name == "span":
        return Span(*value)
    return math.nan if value is None else tuple(value) if isinstance(value, list) else value
