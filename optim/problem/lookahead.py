"""The look-ahead probe of a study: its strategy, a few points of its space, the searched bars."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from typing import Any

import numpy as np

from engine.data.bars import Bars, slice_bars
from engine.errors import EngineError
from engine.strategies.lookahead import Probe, probe_lookahead
from optim.errors import SpecError, cut, one_line
from optim.problem import proven
from optim.problem.plan import Plan, feasible_point
from optim.spec.space import Point
from optim.workers.executors import Processes

_FEWEST, _MOST, _DRAWS = 3, 8, 64
_START_SECONDS = 120.0  # seconds for a worker to start and end the calls that are always made
_COMPILED_SECONDS, _PLAIN_SECONDS = 0.8, 3.0
SKIPPED = "not looked for: [strategy] lookahead_check = false"


def check_lookahead(plan: Plan, *, again: bool = True) -> tuple[str, bool]:
    """One line for the console, and whether it is good news; SpecError when the signal knows later bars.

    The hold-out is not touched. A strategy that raises is no matter of this check: its trials fail with the reason.
    again: look even where nothing was found before with the same code, bars and parameter sets.
    """
    spec = plan.spec
    if not spec.strategy.lookahead_check:
        return SKIPPED, False
    params: list[Mapping[str, Any]] = []  # several points are one where only account rules are searched
    for point in probe_points(plan):
        if (one := plan.task(point, ()).params) not in params:
            params.append(one)
    seconds = _COMPILED_SECONDS if plan.strategy.compiled else _PLAIN_SECONDS
    place = proven.place_of(plan, params, seconds)
    if not again and (said := proven.recall(place)):
        return f"{said}, as found before", True
    try:
        probe = _probe(plan, params, seconds)
    except (BrokenExecutor, TimeoutError):
        return f"not proven: a call of {plan.strategy.name} took its process down, or did not end", False
    except EngineError as error:
        raise SpecError(
            f"{spec.path}: [strategy] name = {spec.strategy.name!r}: {error} (lookahead_check = false leaves "
            "this check out)"
        ) from None
    if probe.failure:
        return f"nothing proven: {one_line(cut(probe.failure, 400))}; so may every trial", False
    if not any(probe.moved):
        return (
            f"nothing proven: the signal never changes on the searched bars for {len(params)} parameter sets",
            False,
        )
    said = f"none for {len(params)} parameter sets: {probe.n_compared} shortened histories, the same signal"
    proven.keep(place, said)
    return said, True


def _probe(plan: Plan, params: list[Mapping[str, Any]], seconds: float) -> Probe:
    """A plain Python strategy may do anything: where trials have processes of their own, so has this."""
    parallel = plan.spec.parallel
    if plan.strategy.compiled or parallel.n_jobs == 1 or parallel.backend in ("sequential", "threading"):
        return probe_lookahead(plan.strategy, params, searched_bars(plan), seconds)
    workers = Processes(1)
    try:
        future = workers.submit(probe_lookahead, plan.strategy, params, searched_bars(plan), seconds)
        probe: Probe = future.result(timeout=seconds + (parallel.trial_timeout or _START_SECONDS))
    finally:
        workers.close()
    return probe


def searched_bars(plan: Plan) -> tuple[Bars, ...]:
    """The instruments up to the hold-out."""
    stops = {cell.instrument: cell.start for cell in plan.holdouts}
    return tuple(
        slice_bars(bars, 0, stops.get(i, stops.get(-1, len(bars.close)))) for i, bars in enumerate(plan.job.instruments)
    )


def probe_points(plan: Plan) -> list[Point]:
    """A few feasible points, the same for the same seed; more where they bring choices that were not drawn yet."""
    rng = np.random.default_rng(plan.spec.study.seed)
    points = [feasible_point(plan)]
    seen = _choices(plan, points[0])
    for _ in range(_DRAWS):
        point = plan.space.sample(rng)
        if point in points or not plan.space.feasible(point):
            continue
        new = _choices(plan, point) - seen
        if len(points) < _FEWEST or (new and len(points) < _MOST):
            points.append(point)
            seen |= new
    return points


def _choices(plan: Plan, point: Point) -> set[tuple[str, Any]]:
    names = [parameter.name for parameter in plan.space.parameters if parameter.choices]
    return {(name, point[name]) for name in names if name in point}
