"""What the trials of a study have of one parameter, and what the parameter's distribution says to an estimator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel

_ROOM = 64  # trials for which there is room beyond those there are
_FEW = 64  # values put in their places one by one; more are sorted together


class Range(NamedTuple):
    """What a distribution says to an estimator. Of a numerical one the bounds, also as its kernels have them."""

    n_choices: int  # 0: numerical
    low: float
    high: float
    step: float  # 0: continuous
    log: bool
    edges: tuple[float, float]  # half a step beyond the bounds, in logs where `log`: numpy's logs
    cut: tuple[float, float]  # the same, by Python's logs


def range_of(distribution: BaseDistribution) -> Range:
    """A distribution of Optuna as a Range."""
    if isinstance(distribution, CategoricalDistribution):
        return Range(len(distribution.choices), 0.0, 0.0, 0.0, False, (0.0, 0.0), (0.0, 0.0))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step or 0.0
    edges = (low - step / 2, high + step / 2)
    cut = edges
    if distribution.log:
        edges = (float(np.log(edges[0])), float(np.log(edges[1])))
        cut = (math.log(cut[0]), math.log(cut[1]))
    return Range(0, float(low), float(high), float(step), distribution.log, edges, cut)


class Column:
    """One parameter under one distribution, by trial: codes of choices, or values, logs where it is one of logs.

    NaN where a trial has no such parameter.
    """

    def __init__(self, distribution: BaseDistribution):
        self.distribution = distribution
        self.range = range_of(distribution)
        self.values = np.empty(0)
        self.n_ended = 0  # of the trials that have ended, in the order in which they did, as far as they are here
        self._order = np.empty(0, dtype=np.int64)
        self._n = 0  # of them, in order
        self._alone = not self.range.n_choices  # whether no two values are equal

    @property
    def order(self) -> Integers | None:
        """The trials that have the parameter, by ascending value; None where two have the same, and of choices."""
        return self._order[: self._n] if self._alone else None

    def put(self, name: str, trials: Iterable[tuple[int, Mapping[str, Any]]], size: int) -> None:
        """Write the parameter of trials given by number and parameters; `size`: trials that there are."""
        if size > len(self.values):
            room = size + max(_ROOM, size // 8)
            self.values = np.append(self.values, np.full(room - len(self.values), np.nan))
            self._order = np.append(self._order, np.zeros(room - len(self._order), dtype=np.int64))
        fresh, moved = [], False
        for number, params in trials:
            value = self.distribution.to_internal_repr(params[name]) if name in params else math.nan
            if self.range.log:
                value = np.log(np.array([value]))[0]
            before = self.values[number]
            if before == value or (math.isnan(before) and math.isnan(value)):
                continue
            moved = moved or not math.isnan(before)  # what a running trial was to have, and did not use
            self.values[number] = value
            fresh.append(number)
        if self._alone and fresh:
            self._sort(fresh, moved)

    def _sort(self, fresh: Sequence[int], moved: bool) -> None:
        if len(fresh) <= _FEW and not moved:
            for number in fresh:
                self._alone = self._alone and _insert(self._order, self._n, self.values, number)
                self._n += 1
            return
        numbers = np.flatnonzero(~np.isnan(self.values))
        numbers = numbers[np.argsort(self.values[numbers])]
        self._n = len(numbers)
        self._order[: self._n] = numbers
        ascending = self.values[numbers]
        self._alone = bool(np.all(ascending[1:] > ascending[:-1]))


@kernel
def _insert(order: Integers, n: int, values: Array, number: int) -> bool:
    """Put a number among the n first of `order`, by ascending values; False if one of them has the same value."""
    value = values[number]
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if values[order[middle]] < value:
            low = middle + 1
        else:
            high = middle
    if low < n and values[order[low]] == value:
        return False
    for i in range(n, low, -1):
        order[i] = order[i - 1]
    order[low] = number
    return True


def common(columns: Sequence[Column], trials: Integers) -> Integers:
    """Those of the trials that have all of the parameters."""
    lacking = np.isnan(columns[0].values[trials])
    for column in columns[1:]:
        lacking |= np.isnan(column.values[trials])
    return trials[~lacking] if lacking.any() else trials
