"""The daily returns of everything that was tried: what the statistics of a verdict are computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from engine.data.cells import Cell
from engine.data.clock import day_ends
from engine.simulator.account import bare
from optim.problem.plan import Plan
from optim.workers.pool import Pool
from optim.workers.tasks import Result, Task

Floats = NDArray[np.float64]
HOLD = "buy and hold"
_MOST = 1000  # columns: of more trials every so many are taken


class Returns(NamedTuple):
    """Daily net returns over the searched bars, float64[T, N], a column for each distinct point that was tried.

    Pruned trials are there too, run to the end; of instruments with accounts of their own it is the mean. Trials that
    fail have no column. The last column is buying and holding at the account's costs.
    """

    values: Floats
    names: tuple[Any, ...]  # trial numbers, the first of those with the same point; HOLD at the end
    days: NDArray[np.int64]  # since 1970, float64[T]
    tried: int  # distinct points in all, which may be more than there are columns


def trial_returns(plan: Plan, trials: Sequence[FrozenTrial], pool: Pool, always: Sequence[int] = ()) -> Returns:
    """One backtest over the searched bars for each distinct point of the trials, where `pool` runs the study's.

    always: numbers of trials that are in it, however many there are.
    """
    points = {tuple(sorted(trial.params.items())): trial for trial in reversed(trials) if trial.state.is_finished()}
    distinct = sorted(points.values(), key=lambda trial: trial.number)
    days = days_of(plan, plan.searched)
    step = -(-len(distinct) // _MOST)
    chosen = [trial for i, trial in enumerate(distinct) if i % step == 0 or trial.number in always]
    tasks = [*(plan.task(trial.params, plan.searched)._replace(curve=True) for trial in chosen), holding(plan)]
    rows = zip([*(trial.number for trial in chosen), HOLD], tasks, pool.run(tasks), strict=True)
    series = ((name, daily_returns(plan, task, result, days)) for name, task, result in rows)
    columns = [(name, one) for name, one in series if one is not None]
    values = np.stack([one for _, one in columns], axis=1)
    return Returns(values, tuple(name for name, _ in columns), days, len(distinct))


def holding(plan: Plan) -> Task:
    """Buying and holding over the searched bars, at the account's costs."""
    task = Task({}, plan.account, plan.searched, strategy="buy_and_hold", curve=True, each=plan.each)
    return task.under(bare)


def days_of(plan: Plan, cells: Sequence[Cell]) -> NDArray[np.int64]:
    """The days (UTC, since 1970) on which any of the cells has bars."""
    return np.unique(np.concatenate([_cell_days(plan, cell) for cell in cells]))


def _cell_days(plan: Plan, cell: Cell) -> NDArray[np.int64]:
    times = plan.job.instruments[max(cell.instrument, 0)].timestamp[cell.start : cell.stop]
    return np.asarray(times[day_ends(times)] // 86_400_000_000_000)


def daily_returns(plan: Plan, task: Task, result: Result, days: NDArray[np.int64]) -> Floats | None:
    """The daily net returns of a task that kept its curve, float64[T]: the mean of its cells'; None where it failed.

    A day on which one instrument is not traded counts the others.
    """
    if any(outcome.error for outcome in result.outcomes):
        return None
    total, count = np.zeros(len(days)), np.zeros(len(days))
    for cell, equity in zip(task.cells, result.curves, strict=True):
        before = np.concatenate(([task.account.initial_cash], equity[:-1]))
        there = np.searchsorted(days, _cell_days(plan, cell))
        growth = np.divide(equity, before, out=np.ones(len(equity)), where=before > 0)
        total[there] += growth - 1.0
        count[there] += 1
    return np.asarray(total / np.maximum(count, 1))


def value_over(plan: Plan, result: Result) -> float:
    """The first objective over a task's cells; NaN where a backtest or the objective failed, or it is undefined."""
    if any(outcome.error for outcome in result.outcomes):
        return math.nan
    try:
        return plan.objective.over([outcome.metrics for outcome in result.outcomes])[0]
    except Exception:  # noqa: BLE001 - an objective of the user's own may raise anything
        return math.nan
