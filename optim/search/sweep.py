"""Searches without feedback: grid, random and quasi-random points, evaluated in large batches.

Nothing a trial finds out changes what is tried next, so there is nothing to ask: the points are a sequence that the
seed fixes, and a resumed sweep goes on at the first point that is not in the record.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from engine.metrics.measure import TAIL_METRICS
from optim.problem.objective import Objective
from optim.problem.plan import Plan
from optim.record.memory import TrialRecord
from optim.record.record import BATCH, SLOT
from optim.search.events import Listener
from optim.search.proposals import nothing_left
from optim.search.scoring import Judgement, Scored, feasible_value, judge, score_cell
from optim.spec.sections import ENUMERATING
from optim.spec.space import ENUMERABLE, Point, SearchSpace
from optim.spec.study import StudySpec
from optim.workers.pool import Pool
from optim.workers.tasks import Result, run_task, shared_indicators

BATCH_SIZE = 512  # trials that go to the record together, at the most
_WRITE_SECONDS = 0.5  # and no trial that has ended waits longer than this
_TRIES = 1000  # draws for one free feasible point; then a small space is gone through, a large one is done


class Sweep:
    """One run of a sweep against its record."""

    def __init__(self, plan: Plan, record: TrialRecord, pool: Pool, listener: Listener):
        self._plan = plan
        self._record = record
        self._pool = pool
        self._listener = listener
        self._waiting: deque[tuple[int, Point]] = deque()  # trial numbers and points, in order
        self._inbox: dict[int, Result] = {}  # by trial number
        self._ended: list[FrozenTrial] = []
        self._written = time.monotonic()
        self._distributions = {p.name: p.distribution() for p in plan.space.parameters}

    def run(self) -> str:
        """Evaluate the points until the budget is spent; the reason why it ended."""
        spec = self._plan.spec
        count = len(self._record.trials())
        if count >= spec.study.n_trials:
            return "budget spent"
        points = enumerate(
            itertools.islice(sweep_points(spec, self._plan.space), count, spec.study.n_trials), start=count
        )
        deadline = time.monotonic() + (spec.study.timeout or float("inf"))
        self._submit(points)
        try:
            while self._waiting:
                self._inbox.update(self._pool.collect())
                self._write()
                if self._listener.should_stop():
                    return "interrupted"
                if time.monotonic() >= deadline:
                    return "timeout"
                if len(self._waiting) < BATCH_SIZE:
                    self._submit(points)  # before the workers run out of work
        finally:
            self._flush()
        count = len(self._record.trials())
        return "budget spent" if count >= spec.study.n_trials else nothing_left(self._plan.space)

    def _submit(self, points: Iterator[tuple[int, Point]]) -> None:
        for number, point in itertools.islice(points, BATCH_SIZE):
            self._pool.submit(number, self._plan.trial_task(point, self._plan.cells), order=number)
            self._waiting.append((number, point))

    def _write(self) -> None:
        """Record what has ended, in order; cheap trials in groups, dear ones as they come."""
        while self._waiting and self._waiting[0][0] in self._inbox:
            number, point = self._waiting.popleft()
            self._ended.append(self._freeze(number, point, self._inbox.pop(number)))
        if len(self._ended) >= BATCH_SIZE or time.monotonic() - self._written > _WRITE_SECONDS:
            self._flush()

    def _flush(self) -> None:
        trials, self._ended = self._ended, []
        self._written = time.monotonic()
        if trials:
            self._record.append(trials)
            self._listener.finished(trials)

    def _freeze(self, number: int, point: Point, result: Result) -> FrozenTrial:
        verdict = judge(self._plan.objective, scored(self._plan.objective, result))
        return freeze(number, point, self._distributions, verdict, result)


def sweep_points(spec: StudySpec, space: SearchSpace) -> Iterator[Point]:
    """The distinct feasible points of a sweep in their order, which the seed fixes."""
    if spec.study.sampler.name in ENUMERATING:
        yield from space.grid()
        return
    quasi = spec.study.sampler.name == "QMCSampler" and space.parameters
    draw = _sobol(spec, space) if quasi else _uniform(spec, space)
    seen: set[tuple[tuple[str, object], ...]] = set()
    while True:
        for _ in range(_TRIES):
            point = next(draw)
            key = tuple(point.items())
            if key not in seen and space.feasible(point):
                break
        else:
            break
        seen.add(key)
        yield point
    if space.size() <= ENUMERABLE:
        yield from (point for point in space.grid() if tuple(point.items()) not in seen)


def best_of_sweep(plan: Plan) -> float | None:
    """The winner's value, by the first objective, and nothing else: what `Sweep` in this thread would have found.

    A third of its cost: no trial is kept, and only the metrics are put together that have a say.
    """
    objective, best = plan.objective, None
    names = objective.names()
    tails = names is None or not TAIL_METRICS.isdisjoint(names)
    better = max if objective.goals[0].direction == "maximize" else min
    with shared_indicators(plan.job):
        for point in itertools.islice(sweep_points(plan.spec, plan.space), plan.spec.study.n_trials):
            result = run_task(plan.job, plan.trial_task(point, plan.cells)._replace(tails=tails))
            value = feasible_value(objective, scored(objective, result))
            if value is not None:
                best = value if best is None else better(best, value)
    return best


def scored(objective: Objective, result: Result) -> Scored:
    """The scores of a task's outcomes, up to the first cell that stops it."""
    cells: list[Mapping[str, float]] = []
    scores: list[tuple[float, ...]] = []
    for step, outcome in enumerate(result.outcomes):
        if outcome.error:
            return Scored(cells, scores, error=f"cell {step}: {outcome.error}")
        score, error, undefined = score_cell(objective, outcome.metrics, step)
        if error:
            return Scored(cells, scores, error=error)
        cells.append(outcome.metrics)
        scores.append(score)
        if undefined:
            return Scored(cells, scores, undefined=undefined)
    return Scored(cells, scores)


def freeze(
    number: int, point: Point, distributions: dict[str, BaseDistribution], verdict: Judgement, result: Result
) -> FrozenTrial:
    """A finished trial as it goes into the record."""
    trial = FrozenTrial(
        number=number,
        trial_id=number,
        state=verdict.state,
        value=None,
        values=verdict.values,
        datetime_start=datetime.fromtimestamp(result.started),
        datetime_complete=datetime.fromtimestamp(result.ended),
        params=dict(point),
        distributions={name: distributions[name] for name in point},
        user_attrs=verdict.attrs,
        system_attrs={BATCH: number // BATCH_SIZE, SLOT: number % BATCH_SIZE},
        intermediate_values={},
    )
    for name, distance in verdict.constraints.items():
        trial.set_constraint(name, distance)
    return trial


def _uniform(spec: StudySpec, space: SearchSpace) -> Iterator[Point]:
    rng = np.random.default_rng(spec.study.seed)
    while True:
        yield space.sample(rng)


def _sobol(spec: StudySpec, space: SearchSpace) -> Iterator[Point]:
    """A scrambled Sobol (or Halton) sequence, one dimension a parameter."""
    from scipy.stats import qmc

    arguments = spec.study.sampler.arguments()
    kind = qmc.Halton if arguments.get("qmc_type") == "halton" else qmc.Sobol
    scramble = bool(arguments.get("scramble", True))
    sequence = kind(len(space.parameters), scramble=scramble, rng=np.random.default_rng(spec.study.seed))
    while True:
        for row in sequence.random(1024):
            yield space.at(row)
