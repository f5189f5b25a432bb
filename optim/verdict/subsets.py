"""The winner on random parts of what was searched: a window of half the bars, half of the instruments.

After skfolio's MultipleRandomizedCV. It is reported, it decides nothing: the winner was chosen on these bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.cells import Cell
from optim.errors import counted
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.search.search import make_pool
from optim.spec.space import Point
from optim.verdict.returns import holding, value_over
from optim.workers.pool import Pool
from optim.workers.tasks import Task

DRAWS, HALVES, SHARE = 200, 20, 0.5
_QUANTILES = (0.05, 0.5, 0.95)
_FEWEST = 20  # bars of a window


class Subsets(NamedTuple):
    """The first objective over the draws; NaN where it is undefined."""

    metric: str
    draws: int
    instruments: int  # of each draw
    of: int  # instruments in all
    bars: int  # of each window
    quantiles: tuple[float, float, float]  # 5 %, 50 %, 95 % of the winner's objective
    above_holding: float  # share of draws in which it is better than buying and holding the same bars


class Draw(NamedTuple):
    """A window of the calendar of all instruments, nanoseconds since 1970, start <= t < stop, and who is in it."""

    start: int
    stop: int
    instruments: tuple[int, ...]


def subsets(plan: Plan, point: Point, pool: Pool) -> Subsets | None:
    """Backtest the winner, and holding, on every draw; None where the searched bars are too few.

    pool: runs the study's trials; a portfolio's draws need pools of their own.
    """
    times = np.unique(np.concatenate([bars.timestamp for bars in searched_bars(plan)]))
    length, chosen = int(len(times) * SHARE), _chosen(plan)
    if length < _FEWEST:
        return None
    drawn = draws(times, length, len(plan.job.instruments), chosen)
    run = _of_a_portfolio if plan.spec.portfolio else _of_accounts
    found = np.array(run(plan, point, drawn, pool))
    sign = 1.0 if plan.objective.goals[0].direction == "maximize" else -1.0
    known = found[~np.isnan(found).any(axis=1)]
    if len(known) == 0:
        return None
    low, median, high = (float(one) for one in np.quantile(known[:, 0], _QUANTILES))
    better = float(np.mean(sign * known[:, 0] > sign * known[:, 1]))
    who = (plan.objective.goals[0].name, len(known), chosen, len(plan.job.instruments), length)
    return Subsets(*who, (low, median, high), better)


def subsets_in_words(found: Mapping[str, Any]) -> str:
    """What the draws showed, in one sentence; found: `Subsets` as plain data."""
    low, median, high = found["quantiles"]
    who = f" of {found['instruments']} of {counted(found['of'], 'instrument')}" if found["of"] > 1 else ""
    return (
        f"On {counted(found['draws'], 'random window')} of {found['bars']} bars{who}: {found['metric']} {median:.3g}, "
        f"in nine of ten {low:.3g} to {high:.3g}; better than holding in {found['above_holding']:.0%}"
    )


def draws(times: NDArray[np.int64], length: int, of: int, chosen: int) -> list[Draw]:
    """Always the same draws: windows of `length` times, evenly likely, on HALVES choices of the instruments in turn."""
    rng = np.random.default_rng(0)
    halves = [tuple(sorted(int(i) for i in rng.choice(of, chosen, replace=False))) for _ in range(HALVES)]
    edges, found = np.append(times, times[-1] + 1), []
    for number in range(DRAWS):
        start = int(rng.integers(0, len(times) - length + 1))
        found.append(Draw(int(edges[start]), int(edges[start + length]), halves[number % HALVES]))
    return found


def _chosen(plan: Plan) -> int:
    """How many instruments a draw has: half of them, rounded up; all where the strategy asks for so many."""
    of = len(plan.job.instruments)
    return of if plan.strategy.n_instruments > 1 else -(-of // 2)


def _within(plan: Plan, draw: Draw, instrument: int) -> Cell:
    """The searched bars of an instrument in a window; -1: of the portfolio."""
    searched = next(cell for cell in plan.searched if cell.instrument == instrument)
    times = plan.job.instruments[max(instrument, 0)].timestamp[: searched.stop]
    return Cell(instrument, *(int(edge) for edge in np.searchsorted(times, (draw.start, draw.stop))))


def _pair(plan: Plan, point: Point, cells: tuple[Cell, ...]) -> list[Task]:
    """The winner and holding on the same cells."""
    return [plan.task(point, cells), holding(plan)._replace(cells=cells, curve=False)]


def _of_accounts(plan: Plan, point: Point, drawn: list[Draw], pool: Pool) -> list[tuple[float, float]]:
    """Objectives of winner and holding a draw, of instruments with accounts of their own."""
    tasks: list[Task] = []
    for draw in drawn:
        cells = tuple(_within(plan, draw, i) for i in draw.instruments)
        if usable := tuple(cell for cell in cells if cell.stop - cell.start >= 2):
            tasks += _pair(plan, point, usable)
    values = [value_over(plan, result) for result in pool.run(tasks)]
    return list(zip(values[::2], values[1::2], strict=True))


def _of_a_portfolio(plan: Plan, point: Point, drawn: list[Draw], pool: Pool) -> list[tuple[float, float]]:
    """Likewise, of instruments that share an account: each choice of them is another portfolio."""
    found: list[tuple[float, float]] = []
    for who in dict.fromkeys(draw.instruments for draw in drawn):
        bars = tuple(plan.job.instruments[i] for i in who)
        each = tuple(plan.each[i] for i in who) if plan.each else ()
        fewer = plan._replace(job=plan.job._replace(instruments=bars), each=each)
        cells = [(_within(plan, draw, -1),) for draw in drawn if draw.instruments == who]
        tasks = [task for one in cells for task in _pair(fewer, point, one)]
        with make_pool(fewer, here=True) as own:
            values = [value_over(plan, result) for result in own.run(tasks)]
        found += zip(values[::2], values[1::2], strict=True)
    return found
