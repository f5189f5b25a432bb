"""`optim replay`: run recorded trials again and compare every digit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from engine.evaluate import Outcome
from optim.problem.plan import Plan
from optim.workers.pool import Pool


class Replay(NamedTuple):
    """One trial run again: what came out differently, as sentences; empty when nothing did."""

    number: int
    differences: tuple[str, ...]


def replay(plan: Plan, trials: Sequence[FrozenTrial], pool: Pool) -> list[Replay]:
    """Every trial again, in order, from its recorded parameters alone, where `pool` runs the study's trials."""
    tasks = [plan.task(trial.params, plan.cells[: cells_run(trial, len(plan.cells))]) for trial in trials]
    return [
        Replay(trial.number, tuple(_differences(plan, trial, result.outcomes)))
        for trial, result in zip(trials, pool.run(tasks), strict=True)
    ]


def cells_run(trial: FrozenTrial, n_cells: int) -> int:
    """How many cells a recorded trial went through: all, or as many as it took to prune, refuse or fail it."""
    judged = len(trial.user_attrs.get("cell_values", ()))
    if trial.state == TrialState.COMPLETE:
        return n_cells
    return judged if trial.state == TrialState.PRUNED and "infeasible" not in trial.user_attrs else judged + 1


def _differences(plan: Plan, trial: FrozenTrial, outcomes: Sequence[Outcome]) -> Iterator[str]:
    error = next((f"cell {i}: {outcome.error}" for i, outcome in enumerate(outcomes) if outcome.error), "")
    recorded_error = trial.user_attrs.get("error", "")
    if error != recorded_error:
        yield f"error was {recorded_error or 'none'!r}, is {error or 'none'!r}"
    good = [outcome.metrics for outcome in outcomes if not outcome.error]
    if not good:
        return
    for name, value in plan.objective.metrics(good).items():
        recorded = trial.user_attrs.get(name)
        if recorded is None and value == value:
            yield f"{name} was undefined, is {value!r}"
        if recorded is not None and recorded != value:
            yield f"{name} was {recorded!r}, is {value!r}"
    if trial.state == TrialState.COMPLETE:
        values = plan.objective.values(good, [plan.objective.scores(metrics) for metrics in good])
        if tuple(trial.values) != values:
            yield f"value was {trial.values!r}, is {list(values)!r}"
