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
from optim.search.tpe.columns import Column
from optim.search.tpe.front import best_of
from optim.search.tpe.parzen import Estimator

_Key = tuple[float, float, int]
_MOST = 64  # distributions of a parameter, and mixtures, that are kept up to date: a space may change with every trial


class History:
    """The trials of one study that have ended."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._study: Callable[[], object] = lambda: None
        self._study_id = -1
        self.ended: list[tuple[int, Mapping[str, Any]]] = []  # complete and pruned: number and parameters
        self.unfinished: list[int] = []
        self.size = 0  # trials seen, in whatever state
        self.shared: dict[str, BaseDistribution] | None = None  # what all that have ended have in common
        self.group = _SearchSpaceGroup()
        self._complete: list[_Key] = []  # best first, ties in order of numbers, as the two others
        self._signs: tuple[float, ...] = ()  # of the objectives: -1 where one is maximised
        self._points: list[tuple[int, list[float]]] = []  # of several objectives: number and losses, by number
        self._split: tuple[tuple[int, int], list[int]] = ((0, 0), [])  # the last one of these: of how many, the best
        self._pruned: list[_Key] = []
        self._infeasible: list[_Key] = []
        self._has_ended = np.zeros(0, dtype=bool)
        self._columns: dict[str, list[Column]] = {}
        self._estimators: dict[tuple[object, ...], Estimator] = {}

    def see(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        """Take in what has ended since. trials: all of the study, by number."""
        if self._study() is not study._storage or self._study_id != study._study_id:
            self._clear()
            self._study, self._study_id = weakref.ref(study._storage), study._study_id
        if len(trials) < self.size:  # what another thread has seen before
            return
        if len(trials) > len(self._has_ended):
            self._has_ended = np.append(self._has_ended, np.zeros(len(trials) + 64, dtype=bool))
        looked_at = [*self.unfinished, *range(self.size, len(trials))]
        self.size = len(trials)
        self.unfinished = [number for number in looked_at if not trials[number].state.is_finished()]
        maximise = optuna.study.StudyDirection.MAXIMIZE
        self._signs = tuple(-1.0 if direction == maximise else 1.0 for direction in study.directions)
        for number in looked_at:
            if trials[number].state in (TrialState.COMPLETE, TrialState.PRUNED):
                self._end(trials[number], number)

    def _end(self, trial: FrozenTrial, number: int) -> None:
        self.ended.append((number, trial.params))
        self._has_ended[number] = True
        distributions = trial.distributions
        if self.shared is None:
            self.shared = dict(sorted(distributions.items()))
        elif any(distributions.get(name) != distribution for name, distribution in self.shared.items()):
            self.shared = {name: d for name, d in self.shared.items() if distributions.get(name) == d}
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
        below = self._front(n_below) if self._points else []
        for trials in (self._complete, self._pruned, self._infeasible):
            below += [number for _, _, number in trials[: max(0, n_below - len(below))]]
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

    def columns(
        self, search_space: Mapping[str, BaseDistribution], running: Iterable[tuple[int, Mapping[str, Any]]]
    ) -> list[Column]:
        """The columns of a search space, filled; `running`: trials that have not ended but count."""
        found = []
        for name, distribution in search_space.items():
            known = self._columns.setdefault(name, [])
            column = next((c for c in known if c.distribution is distribution or c.distribution == distribution), None)
            if column is None:
                column = Column(distribution)
                known.append(column)
                if len(known) > _MOST:
                    del known[0]
            column.put(name, self.ended[column.n_ended :], self.size)
            column.n_ended = len(self.ended)
            column.put(name, running, self.size)
            found.append(column)
        return found

    def estimator(self, side: str, columns: list[Column]) -> Estimator:
        """What fits mixtures to these columns on one side, and remembers the last."""
        key = (side, *map(id, columns))
        found = self._estimators.pop(key, None) or Estimator(columns)
        self._estimators[key] = found
        if len(self._estimators) > _MOST:
            del self._estimators[next(iter(self._estimators))]  # the one not asked for longest
        return found
