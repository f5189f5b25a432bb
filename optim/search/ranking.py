"""Which trial won: one rule for whoever asks, the study itself or a search on another market."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from optim.errors import SpecError
from optim.problem.plan import Plan
from optim.search.scoring import is_feasible

NEAREST = 8  # trials beside a trial that say what its surroundings are worth


def winner_of(plan: Plan, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The winner: the first of `ranked`."""
    return next(iter(ranked(plan, trials)), None)


def chosen(plan: Plan, trials: Sequence[FrozenTrial], number: int | None) -> FrozenTrial:
    """A trial by its number, the winner by default; SpecError when there is none."""
    if number is None:
        if (best := winner_of(plan, trials)) is None:
            raise SpecError(f"{plan.spec.path}: no trial of {plan.spec.study.name!r} is feasible: there is no winner")
        return best
    if not 0 <= number < len(trials):
        has = f"trials 0 to {len(trials) - 1}" if trials else "no trial yet"
        raise SpecError(f"trial {number}: the record has {has}")
    return trials[number]


def ranked(plan: Plan, trials: Sequence[FrozenTrial]) -> tuple[FrozenTrial, ...]:
    """The feasible complete trials, the winner first; of several objectives the Pareto front by the first of them.

    [study] select = "plateau": by the median value of each trial and the NEAREST around it.
    """
    directions = [goal.direction for goal in plan.objective.goals]
    if len(directions) > 1:
        return pareto(trials, directions)
    if plan.spec.study.select == "plateau":
        return _by_surroundings(plan, trials, directions[0])
    return rank(trials, directions)


def rank(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> tuple[FrozenTrial, ...]:
    """Feasible complete trials, the best by the first objective first, the earlier one first among equals."""
    sign = -1.0 if directions[0] == "maximize" else 1.0
    return tuple(sorted(filter(is_feasible, trials), key=lambda trial: (sign * trial.values[0], trial.number)))


def pareto(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> tuple[FrozenTrial, ...]:
    """The feasible trials that no other one beats in every objective, ordered by the first objective."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    ordered = rank(trials, directions)
    losses = [tuple(sign * value for sign, value in zip(signs, trial.values, strict=True)) for trial in ordered]
    return tuple(
        trial
        for trial, mine in zip(ordered, losses, strict=True)
        if not any(other != mine and all(o <= m for o, m in zip(other, mine, strict=True)) for other in losses)
    )


def _by_surroundings(plan: Plan, trials: Sequence[FrozenTrial], direction: str) -> tuple[FrozenTrial, ...]:
    """By the median of each trial's loss and those around it; pruned and infeasible trials are as bad as can be."""
    from scipy.spatial import KDTree

    ended = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if not ended:
        return ()
    sign = -1.0 if direction == "maximize" else 1.0
    losses = np.array([sign * trial.values[0] if is_feasible(trial) else math.inf for trial in ended])
    places = _places(plan, ended)
    near = KDTree(places).query(places, k=min(NEAREST + 1, len(ended)))[1].reshape(len(ended), -1)
    around = np.median(losses[near], axis=1)
    order = sorted(range(len(ended)), key=lambda i: (around[i], losses[i], ended[i].number))
    return tuple(ended[i] for i in order if is_feasible(ended[i]))


def _places(plan: Plan, trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
    """Each trial's place, parameters as shares of their ranges; another choice, or a missing parameter, is 1 away."""
    columns = []
    for parameter in plan.space.parameters:
        values = [trial.params.get(parameter.name) for trial in trials]
        choices = parameter.choices or ()
        columns += [[math.sqrt(0.5) * (value == choice) for value in values] for choice in (*choices, None)]
        if not choices:
            columns.append([0.0 if value is None else parameter.unit(value) for value in values])
    return np.array(columns, dtype=float).T
