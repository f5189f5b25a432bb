"""The winner's neighbours: is it a plateau or a spike?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from optim.problem.plan import Plan
from optim.search.scoring import feasible_value
from optim.search.sweep import scored
from optim.spec.space import Parameter, Point
from optim.workers.pool import Pool
from optim.workers.tasks import Result

_REACH = 0.05  # share of a parameter's range to a neighbour, where a step is smaller


class Neighbour(NamedTuple):
    """The winner with one parameter moved, run over the cells of the search."""

    parameter: str
    value: Any
    score: float  # by the first objective; NaN where it fails or breaks a constraint


class Plateau(NamedTuple):
    """What is left of the winner's score next to it."""

    score: float  # the winner's
    neighbours: tuple[Neighbour, ...]
    kept: float  # the median neighbour's score / the winner's; NaN where a ratio means nothing (a score of 0 or less)


def plateau(plan: Plan, point: Point, pool: Pool) -> Plateau:
    """Move each parameter a little up and down, all others as they are, and run each again."""
    moved = list(_moved(plan, point))
    tasks = [plan.trial_task(point, plan.cells), *(plan.trial_task(other, plan.cells) for _, other in moved)]
    results = pool.run(tasks)
    score, *others = (_score(plan, result) for result in results)
    neighbours = tuple(Neighbour(name, other[name], value) for (name, other), value in zip(moved, others, strict=True))
    return Plateau(score, neighbours, _kept(plan, score, others))


def _score(plan: Plan, result: Result) -> float:
    value = feasible_value(plan.objective, scored(plan.objective, result))
    return math.nan if value is None else value


def _kept(plan: Plan, score: float, others: list[float]) -> float:
    """The ratio; of what is to be small the other way round."""
    minimise = plan.objective.goals[0].direction == "minimize"
    worst = math.inf if minimise else -math.inf
    if not others or not score > 0.0:
        return math.nan
    median = statistics.median(worst if value != value else value for value in others)
    return score / median if minimise and median > 0 else 0.0 if minimise else max(median, 0.0) / score


def _moved(plan: Plan, point: Point) -> Iterator[tuple[str, Point]]:
    """The point with one parameter moved, for each direction or choice that stays in the space."""
    for parameter in plan.space.parameters:
        if parameter.name not in point:
            continue
        for value in _near(parameter, point[parameter.name]):
            other = {**point, parameter.name: value}
            if value != point[parameter.name] and _same_parameters(plan, other) and plan.space.feasible(other):
                yield parameter.name, other


def _same_parameters(plan: Plan, point: Mapping[str, Any]) -> bool:
    return {p.name for p in plan.space.parameters if plan.space.active(p, point)} == point.keys()


def _near(parameter: Parameter, value: Any) -> list[Any]:
    if parameter.type == "categorical":
        return []  # another choice is another strategy, not a neighbour
    unit, count = parameter.unit(value), parameter.size()
    if np.isfinite(count) and not parameter.log:
        place, step = round(unit * (count - 1)), max(1, round(_REACH * (count - 1)))
        return [parameter.nth(i) for i in (place - step, place + step) if 0 <= i < count]
    places = (unit - _REACH, unit + _REACH)
    return [parameter.at(min(place, 1.0 - 1e-12)) for place in places if 0.0 <= place <= 1.0]
