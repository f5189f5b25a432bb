"""`optim replay`: run recorded trials again and compare every digit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from engine.strategies.raised import without_place
from optim.problem.plan import Plan
from optim.search.scoring import judge
from optim.search.sweep import scored
from optim.workers.pool import Pool
from optim.workers.tasks import Result


class Replay(NamedTuple):
    """One trial run again: what came out differently, as sentences; empty when nothing did."""

    number: int
    differences: tuple[str, ...]


def replay(plan: Plan, trials: Sequence[FrozenTrial], pool: Pool) -> list[Replay]:
    """Every trial again, in order, from its recorded parameters alone, where `pool` runs the study's trials."""
    tasks = [plan.trial_task(trial.params, plan.cells[: cells_run(trial, len(plan.cells))]) for trial in trials]
    return [
        Replay(trial.number, tuple(_differences(plan, trial, result)))
        for trial, result in zip(trials, pool.run(tasks), strict=True)
    ]


def cells_run(trial: FrozenTrial, n_cells: int) -> int:
    """How many cells a recorded trial went through: all, or as many as it took to prune, refuse or fail it."""
    judged = len(trial.user_attrs.get("cell_values", ()))
    if trial.state == TrialState.COMPLETE:
        return n_cells
    return judged if trial.state == TrialState.PRUNED and "infeasible" not in trial.user_attrs else judged + 1


def _differences(plan: Plan, trial: FrozenTrial, result: Result) -> Iterator[str]:
    again = judge(plan.objective, scored(plan.objective, result), pruned=trial.state == TrialState.PRUNED)
    for name in dict.fromkeys((*trial.user_attrs, *again.attrs)):
        then, now = trial.user_attrs.get(name), again.attrs.get(name)
        if then != now and not (name == "error" and then and now and without_place(then) == without_place(now)):
            yield f"{name} was {_said(then)}, is {_said(now)}"
    if again.state != trial.state:
        yield f"it was {trial.state.name.lower()}, is {again.state.name.lower()}"
    elif trial.state == TrialState.COMPLETE and again.values != tuple(trial.values):
        yield f"value was {trial.values!r}, is {list(again.values or ())!r}"


def _said(value: Any) -> str:
    return "undefined" if value is None else repr(value)
