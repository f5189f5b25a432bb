"""Asking Optuna for candidates: reproducible batches, no infeasible point, no point twice.

Batch k is asked with a fresh sampler seeded from (seed, k), so a resumed study asks the very batch it was interrupted
in. A proposal that breaks a constraint or was evaluated before is replaced: by a uniform draw while the sampler itself
draws blindly, by a near neighbour once it has a model. No ask is thrown away: each costs the sampler's time once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import optuna

from optim.search.samplers import make_sampler
from optim.spec.sections import ENUMERATING
from optim.spec.space import ENUMERABLE, Parameter, Point, SearchSpace, Value
from optim.spec.study import StudySpec

_BLIND = (optuna.samplers.RandomSampler, optuna.samplers.QMCSampler)
_ATTEMPTS = 400  # draws for a replacement; each of a neighbour goes this much farther than the one before
_NEAREST, _FARTHER = 0.02, 1.1  # shares of a parameter's range
_DRAWS = 10_000  # for a free point of a space too large to go through


class Proposal(NamedTuple):
    """A candidate of a batch: Optuna's running trial and the point it stands for."""

    trial: optuna.Trial
    point: Point


class Proposer:
    """Asks the in-memory study for batches of distinct feasible points."""

    def __init__(
        self, spec: StudySpec, space: SearchSpace, study: optuna.Study, storage: optuna.storages.InMemoryStorage
    ):
        self._spec = spec
        self._space = space
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._distributions = {p.name: p.distribution() for p in space.parameters}
        self._sampler: optuna.samplers.BaseSampler | None = None  # of the batch before
        self._seen: set[tuple[tuple[str, Value], ...]] = set()
        self.replacing_seconds = 0.0  # spent on what was proposed but could not be tried
        enumerates = spec.study.sampler.name in ENUMERATING
        self._grid: Iterator[Point] = space.grid() if enumerates else iter(())
        self._forced: list[Mapping[str, Value]] = [] if enumerates else list(spec.study.enqueue)
        self._rest: Iterator[Point] | None = None  # of a small space, in its order; what lies behind is taken

    def remember(self, point: Mapping[str, Value]) -> None:
        """Take a point as evaluated: it is not proposed again."""
        self._seen.add(_key(point))

    def ask(self, batch: int, size: int) -> Iterator[Proposal | None]:
        """The candidates of a batch, in slot order; None for a slot for which no free feasible point is left.

        One at a time, as they are taken: the first ones can be evaluated while the others are asked for.
        """
        self._study.sampler = self._sampler = make_sampler(self._spec, batch, self._sampler)
        rng = np.random.default_rng([self._spec.study.seed, batch])
        first = batch * self._spec.parallel.batch_size
        for slot in range(size):
            yield self._ask_one(first + slot, rng)

    def _ask_one(self, index: int, rng: np.random.Generator) -> Proposal | None:
        self._forced += itertools.islice(self._grid, max(0, index + 1 - len(self._forced)))
        forced = self._forced[index] if index < len(self._forced) else {}
        if not forced and self._spec.study.sampler.name in ENUMERATING:
            return None
        trial = self._study.ask()
        point = self._new_point(trial, forced, rng)
        if point is None and forced:  # tried before: the sampler proposes in its place
            point = self._new_point(trial, {}, rng)
        if point is None:
            point = self._left(rng)
        if point is None or not trial.params.keys() <= point.keys():  # what was suggested cannot be taken back
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if point is None:
                return None
            trial = self._study.ask()
        self._store(trial, point)
        self.remember(point)
        return Proposal(trial, point)

    def _new_point(self, trial: optuna.Trial, forced: Mapping[str, Value], rng: np.random.Generator) -> Point | None:
        """What the sampler proposes, or a replacement that is free."""
        point = self._propose(trial, forced, rng)
        if self._free(point):
            return point
        started = time.perf_counter()
        replacement = next((p for p in self._candidates(point, forced, rng) if self._free(p)), None)
        self.replacing_seconds += time.perf_counter() - started
        return replacement

    @property
    def exhausted(self) -> str:
        """Why there is nothing left to propose."""
        return nothing_left(self._space)

    def _left(self, rng: np.random.Generator) -> Point | None:
        """The first point of a small space that is still free; of a large one, any that is found."""
        if self._space.size() > ENUMERABLE:  # a branch is used up: there are others
            return next((p for p in (self._space.sample(rng) for _ in range(_DRAWS)) if self._free(p)), None)
        if self._rest is None:
            self._rest = self._space.grid()
        return next((point for point in self._rest if _key(point) not in self._seen), None)

    def _propose(self, trial: optuna.Trial, forced: Mapping[str, Value], rng: np.random.Generator) -> Point:
        """The sampler's proposal, feasible or not. Uniform draws are made here: what is not feasible costs no ask."""
        if isinstance(self._study.sampler, optuna.samplers.RandomSampler):
            return self._draw(forced, rng)
        point: Point = {}
        for parameter in self._space.parameters:
            if self._space.active(parameter, point):
                name = parameter.name
                point[name] = forced[name] if name in forced else _suggest(trial, parameter)
        return point

    def _draw(self, forced: Mapping[str, Value], rng: np.random.Generator) -> Point:
        point: Point = {}
        for parameter, unit in zip(self._space.parameters, rng.random(len(self._space.parameters)), strict=True):
            if self._space.active(parameter, point):
                point[parameter.name] = forced.get(parameter.name, parameter.at(float(unit)))
        return point

    def _free(self, point: Mapping[str, Value]) -> bool:
        return _key(point) not in self._seen and self._space.feasible(point)

    def _candidates(self, point: Point, keep: Mapping[str, Value], rng: np.random.Generator) -> Iterator[Point]:
        """Replacements in order of preference, ever farther from the proposal.

        Parameters that decide which others exist stay as proposed, so that a replacement has the same parameters.
        """
        held = {*keep, *self._space.controllers()}
        free = [_Around.of(p, point[p.name]) for p in self._space.parameters if p.name in point and p.name not in held]
        uniform = isinstance(self._study.sampler, optuna.samplers.RandomSampler)
        blind = isinstance(self._study.sampler, _BLIND) or len(self._seen) < 10
        for attempt in range(_ATTEMPTS):
            width = 1.0 if blind else min(1.0, _NEAREST * _FARTHER**attempt)
            yield (
                self._draw(keep, rng)
                if uniform
                else {**point, **{around.parameter.name: around.draw(width, rng) for around in free}}
            )

    def _store(self, trial: optuna.Trial, point: Point) -> None:
        """Write the point into the running trial where it differs from what the sampler suggested."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        suggested = trial.params  # a deep copy, every time
        for name, value in point.items():
            if name not in suggested or suggested[name] != value:
                distribution = self._distributions[name]
                self._storage.set_trial_param(trial_id, name, distribution.to_internal_repr(value), distribution)


def nothing_left(space: SearchSpace) -> str:
    """Why a search ends that finds no point it has not evaluated."""
    if space.size() <= ENUMERABLE:
        return "every point of the search space has been evaluated"
    return "no further point was found that satisfies the constraints"


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Value:
    name, low, high, log = parameter.name, parameter.low, parameter.high, parameter.log
    if parameter.type == "categorical":
        return trial.suggest_categorical(name, parameter.choices)  # type: ignore[return-value]
    if parameter.type == "int":
        return trial.suggest_int(name, int(low), int(high), step=int(parameter.step or 1), log=log)
    return parameter.snap(trial.suggest_float(name, low, high, step=parameter.step or None, log=log))


class _Around(NamedTuple):
    """A parameter's value, for other values near it."""

    parameter: Parameter
    value: Value
    unit: float  # where it lies; 0 for a choice
    least: float  # the share of the range that leads to the next value

    @classmethod
    def of(cls, parameter: Parameter, value: Value) -> _Around:
        unit = 0.0 if parameter.type == "categorical" else parameter.unit(value)
        return cls(parameter, value, unit, min(1.0, 1.5 / max(parameter.size() - 1, 1)))

    def draw(self, width: float, rng: np.random.Generator) -> Value:
        """A value within `width`, a share of the range; any at width 1. Discrete ones move by at least a step."""
        if width >= 1.0:
            return self.parameter.at(rng.random())
        if self.parameter.type == "categorical":
            return self.parameter.at(rng.random()) if rng.random() < width else self.value
        unit = self.unit + max(width, self.least) * (2.0 * rng.random() - 1.0)
        return self.parameter.at(min(max(unit, 0.0), 1.0 - 1e-12))


def _key(point: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(point.items()))
