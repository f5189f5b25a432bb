"""What TPE needs to know of a study's trials, kept up to date as they end instead of read anew for every proposal."""

from __future__ import annotations

import bisect
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from engine.compiled.arrays import Integers
from optim.search.tpe.columns import Table
from optim.search.tpe.fitting import Room
from optim.search.tpe.front import best_of
from optim.search.tpe.parzen import Estimator

_Key = tuple[float, float, int]
_MOST = 4  # spaces of the same parameters that are kept up to date: one may change with every trial


class History:
    """The trials of one study that have ended."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._study: Callable[[], object] = lambda: None
        self._study_id: tuple[int, object] = (-1, None)
        self.ended: list[tuple[int, Mapping[str, Any]]] = []  # complete and pruned: number and parameters
        self.unfinished: list[int] = []
        self.size = 0  # trials seen, in whatever state
        self._seen: list[FrozenTrial] = []
        self._running: dict[int, tuple[FrozenTrial, Mapping[str, Any]]] = {}
        self.space: dict[str, BaseDistribution] = {}  # what all that have ended have in common and may vary
        self._shared: dict[str, BaseDistribution] | None = None  # what they have in common
        self.group = _SearchSpaceGroup()
        self._complete: list[_Key] = []  # best first, ties in order of numbers, as the two others
        self._signs: tuple[float, ...] = ()  # of the objectives: -1 where one is maximised
        self._points: list[tuple[int, list[float]]] = []  # of several objectives: number and losses, by number
        self._split: tuple[tuple[int, int], list[int]] = ((0, 0), [])  # the last one of these: of how many, the best
        self._pruned: list[_Key] = []
        self._infeasible: list[_Key] = []
        self._has_ended = np.zeros(0, dtype=bool)
        self._rooms = Room(), Room()
        self._estimators: dict[tuple[str, ...], list[tuple[Estimator, Estimator]]] = {}  # by names of parameters

    def see(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        """Take in what has ended since. trials: all of the study, by number."""
        study_id = (study._study_id, (trials[0]._trial_id, trials[0].datetime_start) if trials else None)
        if self._study() is not study._storage or self._study_id != study_id:  # a deleted study's id may be used again
            self._clear()
            self._study, self._study_id = weakref.ref(study._storage), study_id
            maximise = optuna.study.StudyDirection.MAXIMIZE
            self._signs = tuple(-1.0 if direction == maximise else 1.0 for direction in study.directions)
        if trials is self._seen or len(trials) < self.size:  # what another thread has seen before
            return
        self._seen = trials
        if len(trials) > len(self._has_ended):
            self._has_ended = np.append(self._has_ended, np.zeros(len(trials) + 64, dtype=bool))
        looked_at = [*self.unfinished, *range(self.size, len(trials))]
        self.size = len(trials)
        self.unfinished = [number for number in looked_at if not trials[number].state.is_finished()]
        for number in looked_at:
            if trials[number].state in (TrialState.COMPLETE, TrialState.PRUNED):
                self._end(trials[number], number)

    def _end(self, trial: FrozenTrial, number: int) -> None:
        self.ended.append((number, trial.params))
        self._has_ended[number] = True
        distributions = trial.distributions
        shared = dict(sorted(distributions.items())) if self._shared is None else self._shared
        if shared is not self._shared or any(distributions.get(name) != d for name, d in shared.items()):
            self._shared = {name: d for name, d in shared.items() if distributions.get(name) == d}
            self.space = {name: d for name, d in self._shared.items() if not d.single()}
        self.group.add_distributions(distributions)
        sign = self._signs[0]
        violation = sum(value for value in trial.constraints.values() if value > 0)
        if violation > 0:
            bisect.insort(self._infeasible, (violation, 0.0, number))
        elif trial.state == TrialState.COMPLETE and len(self._signs) > 1:
            losses = [sign * value for sign, value in zip(self._signs, trial.values, strict=True)]
            bisect.insort(self._points, (number, losses))
        elif trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            bisect.insort(self._complete, (sign * trial.value, 0.0, number))
        elif trial.intermediate_values:
            step, value = max(trial.intermediate_values.items())
            bisect.insort(self._pruned, (-step, math.inf if math.isnan(value) else sign * value, number))
        else:
            bisect.insort(self._pruned, (1, 0.0, number))

    def split(self, n_below: int, running: Iterable[int]) -> tuple[Integers, Integers]:
        """The numbers of the best n_below trials and of all others, `running` ones among them; both ascending."""
        if self._points:
            below = self._front(n_below)
        else:
            below = [number for _, _, number in self._complete[: min(n_below, len(self._complete))]]
        for trials in (self._pruned, self._infeasible):
            below += [number for _, _, number in trials[: min(max(0, n_below - len(below)), len(trials))]]
        others = self._has_ended.copy()
        others[below] = False
        others[list(running)] = True
        return np.array(sorted(below), dtype=np.int64), np.flatnonzero(others)

    def _front(self, n_below: int) -> list[int]:
        """The numbers of the best n_below trials of several objectives, by Optuna's ranks and hypervolumes."""
        n = len(self._points)
        if self._split[0] != (n, n_below):
            chosen = range(n) if n_below >= n else best_of(np.array([losses for _, losses in self._points]), n_below)
            self._split = ((n, n_below), [self._points[i][0] for i in chosen])
        return self._split[1]

    def running(
        self, trials: list[FrozenTrial], unfinished: Iterable[int], params: Callable[[FrozenTrial], Mapping[str, Any]]
    ) -> dict[int, Mapping[str, Any]]:
        """The parameters of those unfinished trials that are running: the same object until a trial has changed."""
        known = self._running
        self._running = {}
        for number in unfinished:
            trial, (before, found) = trials[number], known.get(number, (None, {}))
            if trial.state == TrialState.RUNNING:
                self._running[number] = trial, found if trial is before else params(trial)
        return {number: found for number, (_, found) in self._running.items()}

    def estimators(
        self, space: Mapping[str, BaseDistribution], running: Mapping[int, Mapping[str, Any]]
    ) -> tuple[Estimator, Estimator]:
        """What fits the good and the bad trials of a search space; running: the parameters of others that count."""
        known = self._estimators.setdefault(tuple(space), [])
        found = next((e for e in reversed(known) if all(map(_same, e[0].table.space.values(), space.values()))), None)
        if found is None:
            table = Table(space)
            found = Estimator(table, self._rooms[0]), Estimator(table, self._rooms[1])
            known.append(found)
            if len(known) > _MOST:
                del known[0]
        table = found[0].table
        fresh = [(number, params) for number, params in running.items() if table.running.get(number) is not params]
        table.put([*self.ended[table.n_ended :], *fresh], self.size)
        table.n_ended, table.running = len(self.ended), running
        return found


def _same(one: BaseDistribution, other: BaseDistribution) -> bool:
    return one is other or one == other
