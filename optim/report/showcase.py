"""The winner on whole stretches of bars, each beside buying and holding: the searched ones in one run, the hold-out.

The one place that evaluates a winner: terminal, JSON, MLflow and files all show what is computed here. The hold-out is
among it only once it has been opened (optim.verdict.holdout).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from engine.metrics.catalogue import SHORT_DAYS
from engine.simulator.account import bare
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.spec.space import Value
from optim.workers.pool import Pool
from optim.workers.tasks import Result, Task

if TYPE_CHECKING:
    from engine.report.result import BacktestResult

SEARCHED, HELD_OUT = "in-sample", "hold-out"  # what bars are to a search


class Window(NamedTuple):
    """One stretch of bars: each instrument, or the portfolio, from fresh capital in one run."""

    metrics: Mapping[str, float]  # over all instruments, each metric by its own rule; empty when it failed
    backtests: tuple[BacktestResult, ...]  # one an instrument, named after it
    error: str
    days: float  # from its first bar to its last, of the shortest instrument

    @property
    def short(self) -> bool:
        """Whether its annualised figures mean little."""
        return self.days < SHORT_DAYS


class Showcase(NamedTuple):
    """What a reader sees of the winner; None where there are no such bars."""

    searched: Window | None = None
    benchmark: Window | None = None  # buying and holding over the searched bars, at the account's costs
    holdout: Window | None = None
    holdout_benchmark: Window | None = None  # likewise over the hold-out


def show_winner(plan: Plan, params: Mapping[str, Value], pool: Pool, *, opened: bool) -> Showcase:
    """Backtest a point where `pool` runs the study's trials: one that takes its process down takes a worker's.

    opened: the hold-out has been opened for this point, and is shown too.
    """
    wanted = {"searched": plan.task(params, plan.searched)._replace(keep=True)}
    wanted["benchmark"] = wanted["searched"]._replace(strategy="buy_and_hold", params={}).under(bare)
    if opened:
        wanted["holdout"] = wanted["searched"]._replace(cells=plan.holdouts)
        wanted["holdout_benchmark"] = wanted["benchmark"]._replace(cells=plan.holdouts)
    results = pool.run(list(wanted.values()))
    return Showcase(**{
        name: _window(plan, task, result) for (name, task), result in zip(wanted.items(), results, strict=True)
    })  # fmt: skip


def show_point(plan: Plan, params: Mapping[str, Value], pool: Pool) -> Window:
    """A point on the searched bars in one run."""
    task = plan.task(params, plan.searched)._replace(keep=True)
    return _window(plan, task, pool.run([task])[0])


def _window(plan: Plan, task: Task, result: Result) -> Window:
    days = plan.days(task.cells)
    if error := next((outcome.error for outcome in result.outcomes if outcome.error), ""):
        return Window({}, (), error, days)
    sample = HELD_OUT if task.cells == plan.holdouts else SEARCHED
    backtests = tuple(
        named(plan, backtest)._replace(instrument=name, sample=sample)
        for backtest, name in zip(result.backtests, instrument_names(plan), strict=True)
    )
    return Window(plan.objective.metrics([outcome.metrics for outcome in result.outcomes]), backtests, "", days)


def named(plan: Plan, result: BacktestResult) -> BacktestResult:
    """The result with its portfolio's instruments by name, not by number, in the tables of trades and fills."""
    if not result.ledger.instruments:
        return result
    return result._replace(ledger=result.ledger._replace(instruments=traded_names(plan)))


def instrument_names(plan: Plan) -> list[str]:
    """The name of each cell of `plan.searched`."""
    return ["portfolio"] if plan.spec.portfolio else traded_names(plan)


def traded_names(plan: Plan) -> list[str]:
    """The name of each instrument; numbered where two files of different folders have the same."""
    names = [data.name for data in plan.datasets]
    return [name if names.count(name) == 1 else f"{name}_{k}" for k, name in enumerate(names, start=1)]


def subject_of(plan: Plan) -> str:
    """`ma_crossover on ibm_1d and msft_1d, 1999-11-01 to 2013-08-30`: what was searched on, and the searched days."""
    first, last = searched_days(plan, 0)
    return f"{plan.strategy.name} on {joined(dict.fromkeys(data.name for data in plan.datasets))}, {first} to {last}"


def searched_days(plan: Plan, instrument: int) -> tuple[str, str]:
    """The first and last searched day of an instrument."""
    times = searched_bars(plan)[instrument].timestamp
    first, last = (str(times[i].astype("datetime64[ns]").astype("datetime64[D]")) for i in (0, -1))
    return first, last


def joined(names: Iterable[str]) -> str:
    """Names in a sentence."""
    first, *rest = list(names) or [""]
    return first if not rest else f"{', '.join([first, *rest[:-1]])} and {rest[-1]}"
