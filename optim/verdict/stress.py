"""What it takes to kill the winner: dearer trading, later fills, other bars, missing trades and instruments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from engine.data.bars import Bars
from engine.data.shuffle import noisy, resampled
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.search.search import make_pool
from optim.spec.space import Point
from optim.verdict.returns import value_over
from optim.workers.pool import Pool
from optim.workers.stressed import COSTS, DEAR_FEES, DEAR_SLIPPAGE, DELAY, dearer
from optim.workers.tasks import Result, Task

AS_IT_IS = "as it is"
FEES, SLIPPAGE = "twice the fees", "three times slippage and spread"
DEARER = "twice the fees, three times slippage and spread"
LATER, UNLUCKY = "one bar later", "without its best five trades"
ORDERS = {
    "best": "the take-profit before the stop within a bar",
    "worst": "the stop before the take-profit within a bar",
}
NOISY, RESAMPLED = "noise on every bar, the worst of ten", "resampled blocks of bars, the median of twenty"
NOISES, RESAMPLES, BLOCK, SHARE = 10, 20, 20, 0.1
_MOST, _MOST_BPS, _CLOSE = 64.0, 1000.0, 0.01  # how far death is looked for, and how closely


class Condition(NamedTuple):
    """The winner over the searched bars in one run, under a condition; NaN where it cannot be run."""

    total_return: float
    score: float  # by the first objective


class Stress(NamedTuple):
    """The winner under each condition, and how much dearer trading may get before it earns nothing."""

    conditions: dict[str, Condition]
    distance: float  # every cost times so much, or so many basis points a fill; NaN: not looked for; inf: very far
    unit: str  # "times", or "bps" where trading costs nothing

    @property
    def survives(self) -> bool:
        """Whether it still earns something at twice the fees and three times the slippage."""
        found = self.conditions.get(DEARER)
        return found is not None and found.total_return > 0.0


def quick_stress(plan: Plan, point: Point, pool: Pool) -> Stress:
    """What the verdict's rule asks for, and nothing else."""
    base = plan.task(point, plan.searched)
    return Stress(_run(plan, {AS_IT_IS: base, DEARER: _dear(base)}, pool), math.nan, "times")


def stress(plan: Plan, point: Point, pool: Pool) -> Stress:
    """The winner under every condition; `pool` runs the study's trials."""
    base = plan.task(point, plan.searched)
    tasks = {
        AS_IT_IS: base,
        FEES: _dear(base, slippage=1.0),
        SLIPPAGE: _dear(base, fees=1.0),
        DEARER: _dear(base),
        LATER: base._replace(delay=DELAY),
    }
    if other := other_order(base):
        tasks[ORDERS[other]] = base.under(lambda account: account._replace(intrabar=other))
    if len(base.cells) > 1:
        for i, name in enumerate(_names(plan)):
            tasks[f"without {name}"] = base._replace(cells=tuple(cell for cell in base.cells if cell.instrument != i))
    found = _run(plan, tasks, pool)
    found[UNLUCKY] = Condition(_without_best(plan, base, pool, 5), math.nan)
    noises = _on_other_bars(plan, point, NOISES, lambda bars, rng: noisy(bars, rng, SHARE))
    found[NOISY] = min(noises, key=lambda one: -math.inf if one.total_return != one.total_return else one.total_return)
    drawn = _on_other_bars(plan, point, RESAMPLES, lambda bars, rng: resampled(bars, rng, BLOCK))
    found[RESAMPLED] = Condition(*(float(np.median(column)) for column in zip(*drawn, strict=True)))
    return Stress(found, *_distance(plan, base, pool))


def other_order(task: Task) -> Literal["worst", "best"] | None:
    """The other way to read a bar that touches stop and take-profit; None where no account has both."""
    for account in task.each or (task.account,):
        if max(account.stop_pct, account.trailing_stop_pct, account.maintenance_margin) and account.take_profit_pct:
            return "worst" if task.account.intrabar == "best" else "best"
    return None


def total_return(plan: Plan, result: Result) -> float:
    """Over all instruments; NaN where it failed."""
    if any(outcome.error for outcome in result.outcomes):
        return math.nan
    return float(plan.objective.metrics([outcome.metrics for outcome in result.outcomes])["total_return"])


def _dear(task: Task, fees: float = DEAR_FEES, slippage: float = DEAR_SLIPPAGE) -> Task:
    return task.under(lambda account: dearer(account, fees, slippage))


def _run(plan: Plan, tasks: dict[str, Task], pool: Pool) -> dict[str, Condition]:
    results = pool.run(list(tasks.values()))
    return {name: _condition(plan, result) for name, result in zip(tasks, results, strict=True)}


def _condition(plan: Plan, result: Result) -> Condition:
    return Condition(total_return(plan, result), value_over(plan, result))


def _without_best(plan: Plan, task: Task, pool: Pool, count: int) -> float:
    """The total return without the profit of the best trades: the mean of the instruments that have accounts."""
    (result,) = pool.run([task._replace(keep=True)])
    if any(outcome.error for outcome in result.outcomes):
        return math.nan
    cash, grown = task.account.initial_cash, []
    for one in result.backtests:
        earned = one.trades["pnl"].nlargest(count).clip(lower=0).sum()
        grown.append(one.metrics["total_return"] - float(earned) / cash)
    return float(np.mean(grown))


def _names(plan: Plan) -> list[str]:
    """The instruments' names, numbered where two files have the same."""
    names = [data.name for data in plan.datasets]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def _on_other_bars(
    plan: Plan,
    point: Point,
    times: int,
    change: Callable[[tuple[Bars, ...], np.random.Generator], tuple[Bars, ...]],
) -> list[Condition]:
    """The winner on changed bars, so many times. Instruments with accounts of their own travel together in one job."""
    bars = searched_bars(plan)
    markets = [change(bars, np.random.default_rng([number])) for number in range(times)]
    if plan.spec.portfolio:
        return [_on_bars(plan, [plan.task(point, plan.searched)], market)[0] for market in markets]
    tasks = []
    for number in range(times):
        cells = tuple(cell._replace(instrument=cell.instrument + number * len(bars)) for cell in plan.searched)
        tasks.append(plan.task(point, cells))
    return _on_bars(plan, tasks, tuple(one for market in markets for one in market))


def _on_bars(plan: Plan, tasks: list[Task], instruments: tuple[Bars, ...]) -> list[Condition]:
    other = plan._replace(job=plan.job._replace(instruments=instruments))
    with make_pool(other, here=True) as pool:
        return [_condition(plan, result) for result in pool.run(tasks)]


def _distance(plan: Plan, base: Task, pool: Pool) -> tuple[float, str]:
    """How far all costs must rise, together, until the winner earns nothing: by halving, to one in a hundred."""
    free = all(getattr(account, name) == 0.0 for account in base.each or (base.account,) for name in COSTS)
    low, most, unit = (0.0, _MOST_BPS, "bps") if free else (1.0, _MOST, "times")

    def earns(far: float) -> bool:
        dear = base.under(lambda one: one._replace(slippage_bps=far) if free else dearer(one, far, far))
        return total_return(plan, pool.run([dear])[0]) > 0.0

    if not earns(low):
        return low, unit
    high = low + 1.0
    while earns(high):
        if high >= most:
            return math.inf, unit
        low, high = high, min(high * 2.0, most)
    while high - low > _CLOSE * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if earns(middle) else (low, middle)
    return high, unit
