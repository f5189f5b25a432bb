"""What the trials of a study have of the parameters of one search space, as arrays that kernels read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from engine.compiled.arrays import Array, Booleans, Integers
from engine.compiled.jit import inner, kernel
from optim.search.tpe.loops import LOG as LOGS
from optim.search.tpe.loops import apply, loops
from optim.search.tpe.normal import log_mass_among_many

_ROOM = 64  # trials for which there is room beyond those there are
_FEW = 64  # values put in their places one by one; more are sorted together

N_CHOICES, LOW, HIGH, STEP, LOG, EDGE, CUT, PRIOR = 0, 1, 2, 3, 4, 5, 7, 9  # of a range; EDGE and CUT have two ends


def range_of(distribution: BaseDistribution) -> list[float]:
    """What a distribution says to an estimator, as numbers.

    N_CHOICES: 0 of a numerical one. LOW, HIGH, STEP: 0 of a continuous one. LOG: 1 or 0. EDGE: the bounds with half a
    step beyond, in logs where LOG: numpy's logs. CUT: the same, by Python's logs. PRIOR: the log of the prior's mass
    within them, as Optuna rounds it among many.
    """
    if isinstance(distribution, CategoricalDistribution):
        return [len(distribution.choices)] + [0.0] * 9
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step or 0.0
    ends = (low - step / 2, high + step / 2)
    edge, cut = (np.log(ends), tuple(map(math.log, ends))) if distribution.log else (ends, ends)
    mu, sigma = 0.5 * (edge[0] + edge[1]), edge[1] - edge[0]
    prior = log_mass_among_many((cut[0] - mu) / sigma, (cut[1] - mu) / sigma) if sigma > 0 else 0.0
    return [0.0, low, high, step, distribution.log, *edge, *cut, prior]


class Columns(NamedTuple):
    """The values of some parameters by trial: a row a parameter, a column a trial, by number.

    values: codes of choices or numbers, logs where the range is one of logs; NaN where a trial has no such parameter.
    order: the first n_ordered of a row are the trials that have the parameter, by ascending value; n_ordered is -1
    where two have the same, and of choices. whole: the trials that have all parameters.
    """

    ranges: Array  # (n_parameters, 10)
    values: Array  # (n_parameters, room)
    order: Integers  # (n_parameters, room)
    n_ordered: Integers  # (n_parameters,)
    whole: Booleans  # (room,)


class Table:
    """The parameters of one search space: of the trials that have ended, and of those running that count."""

    def __init__(self, space: Mapping[str, BaseDistribution]):
        self.space = dict(space)
        self.n_ended = 0  # of the trials that have ended, in the order in which they did, as far as they are here
        self.running: Mapping[int, Mapping[str, Any]] = {}  # of others: what is here of them
        ranges = np.array([range_of(distribution) for distribution in space.values()], dtype=float)
        self._choices = set(np.flatnonzero(ranges[:, N_CHOICES]).tolist())
        n_ordered = np.where(ranges[:, N_CHOICES] > 0, -1, 0)
        values, order = np.empty((len(space), 0)), np.empty((len(space), 0), dtype=np.int64)
        self.columns = Columns(ranges, values, order, n_ordered, np.zeros(0, dtype=bool))

    def put(self, trials: Sequence[tuple[int, Mapping[str, Any]]], size: int) -> None:
        """Write the parameters of trials, given by number; `size`: trials that there are."""
        if size > self.columns.values.shape[1]:
            self._make_room(size + max(_ROOM, size // 8))
        if not trials:
            return
        given = [
            [d.to_internal_repr(params[name]) if name in params else math.nan for name, d in self.space.items()]
            for _, params in trials
        ]
        numbers = np.array([number for number, _ in trials])
        for j in np.flatnonzero(_write(loops(), self.columns, numbers, np.array(given, dtype=float), _FEW)):
            self._sort(int(j))

    def with_ties(self) -> list[int]:
        """The numerical parameters of which two trials have the same value."""
        return [j for j, n in enumerate(self.columns.n_ordered.tolist()) if n < 0 and j not in self._choices]

    def _make_room(self, size: int) -> None:
        ranges, values, order, n_ordered, whole = self.columns
        more = (len(values), size - values.shape[1])
        values = np.append(values, np.full(more, np.nan), axis=1)
        order = np.append(order, np.zeros(more, dtype=np.int64), axis=1)
        self.columns = Columns(ranges, values, order, n_ordered, np.append(whole, np.zeros(more[1], dtype=bool)))

    def _sort(self, j: int) -> None:
        _, values, order, n_ordered, _ = self.columns
        numbers = np.flatnonzero(~np.isnan(values[j]))
        numbers = numbers[np.argsort(values[j, numbers])]
        ascending = values[j, numbers]
        order[j, : len(numbers)] = numbers
        n_ordered[j] = len(numbers) if np.all(ascending[1:] > ascending[:-1]) else -1


@kernel
def _write(loops: Integers, columns: Columns, numbers: Integers, given: Array, few: int) -> Booleans:
    """Write what trials were given, shape (n_trials, n_parameters), and put a `few` of them in their order.

    Returns which parameters are to be sorted anew.
    """
    n, n_parameters = given.shape
    anew, found = np.empty(n_parameters, dtype=np.bool_), np.empty(n)
    for j in range(n_parameters):
        values, order, n_ordered = columns.values[j], columns.order[j], columns.n_ordered
        anew[j] = False
        for i in range(n):
            found[i] = given[i, j]
        if columns.ranges[j, LOG] > 0:
            apply(loops, LOGS, found, found)
        for i in range(n):
            before, value = values[numbers[i]], found[i]
            if before == value or (math.isnan(before) and math.isnan(value)):
                continue
            values[numbers[i]] = value
            if n_ordered[j] < 0:
                continue
            if n > few or not math.isnan(before):  # a running trial did not use what it was to have
                anew[j] = True
            elif not anew[j]:
                n_ordered[j] = _insert(order, n_ordered[j], values, numbers[i])
    for number in numbers:
        columns.whole[number] = True
        for j in range(n_parameters):
            columns.whole[number] &= not math.isnan(columns.values[j, number])
    return anew


@inner
def _insert(order: Integers, n: int, values: Array, number: int) -> int:
    """Put a number among the n first of `order`, by ascending values: n + 1, or -1 if one of them has its value."""
    value = values[number]
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if values[order[middle]] < value:
            low = middle + 1
        else:
            high = middle
    if low < n and values[order[low]] == value:
        return -1
    for i in range(n, low, -1):
        order[i] = order[i - 1]
    order[low] = number
    return n + 1
