"""The kernels of a mixture, fitted to trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel, outer, part
from optim.search.tpe.columns import CUT, EDGE, N_CHOICES, PRIOR, STEP, Columns
from optim.search.tpe.loops import ADD, apply, reduce
from optim.search.tpe.loops import LOG as LOGS
from optim.search.tpe.normal import MANY, log_mass

_FULL = 25  # trials that count fully by TPESampler's own weights


class Rules(NamedTuple):
    """The options of an estimator. clip: 100, or 0 where sigma may be as small as `least`."""

    prior_weight: float
    clip: float
    least: float
    endpoints: bool


MU, SIGMA, LOG_MASS, LOG_SIGMA = range(4)
WHICH, FIRST = range(2)


class Kernels(NamedTuple):
    """The kernels of a mixture, the last one the prior.

    weights: of each, and their logs. normals: of each parameter that is a number MU, SIGMA, the log of the mass within
    the bounds, the log of sigma. distinct: of discrete numbers and choices the distinct kernels, n_distinct of them,
    the last one the prior's: WHICH of them each kernel is; of numbers FIRST, a kernel that is it. chances: of choices
    the probabilities that each distinct kernel gives them, one parameter of choices after the other.
    """

    weights: Array  # (2, n_kernels)
    normals: Array  # (4, n_parameters, n_kernels)
    distinct: Integers  # (2, n_parameters, n_kernels)
    n_distinct: Integers  # (n_parameters,)
    chances: Array  # (n_parameters of choices, most distinct kernels, most choices)


class Room:
    """Memory for one mixture at a time: asked of the system anew for each, it would cost more than the fit."""

    def __init__(self) -> None:
        self._floats, self._integers = np.empty(0), np.empty(0, dtype=np.int64)
        self.holds: object = None  # whoever uses it says what is in it

    def kernels(self, ranges: Array, n: int) -> tuple[Kernels, Integers]:
        """Room for n kernels of parameters with these ranges, and for the ranks of n - 1 trials.

        What was given before is overwritten.
        """
        self.holds = None
        n_parameters, most = len(ranges), int(ranges[:, N_CHOICES].max())
        size = n_parameters * n
        if 4 * size + 2 * n > len(self._floats) or 3 * size > len(self._integers):
            self._floats = np.empty((4 * size + 2 * n) * 9 // 8)
            self._integers = np.empty(3 * size * 9 // 8, dtype=np.int64)
        normals = self._floats[: 4 * size].reshape(4, n_parameters, n)
        weights = self._floats[4 * size : 4 * size + 2 * n].reshape(2, n)
        distinct = self._integers[: 2 * size].reshape(2, n_parameters, n)
        ranks = self._integers[2 * size : 3 * size - n_parameters].reshape(n_parameters, n - 1)
        chances = np.empty((np.count_nonzero(ranges[:, N_CHOICES]), min(n - 1, most) + 1, most))
        return Kernels(weights, normals, distinct, np.zeros(n_parameters, dtype=np.int64), chances), ranks


@kernel
def fit(
    loops: Integers,
    columns: Columns,
    trials: Integers,
    weights: Array,
    rules: Rules,
    kept: Array,
    ranks: Integers,
    kernels: Kernels,
) -> None:
    """Fill in the kernels: one around every trial, and the prior's.

    weights: the shares of the trials and the prior; none given: TPESampler's own, the older the less. kept: of each
    parameter and trial the kernel of the last mixture (sigma, log mass, log sigma), NaN where there was none; brought
    up to date. ranks: of parameters without an order of their own, the trials by ascending value, numbered from 0;
    shape (n_parameters, n_trials).
    """
    n_parameters, n = ranks.shape
    _weigh(loops, weights, n, rules.prior_weight, kernels.weights[0])
    apply(loops, LOGS, kernels.weights[0], kernels.weights[1])
    place = np.empty(columns.values.shape[1], dtype=np.int64)
    for k in range(len(place)):
        place[k] = -1
    for k in range(n):
        place[trials[k]] = k
    c = 0  # parameters of choices so far
    for j in range(n_parameters):
        of, mu, sigma = columns.ranges[j], kernels.normals[MU, j], kernels.normals[SIGMA, j]
        if of[N_CHOICES] > 0:
            _fit_choices(loops, columns, trials, j, rules.prior_weight, kernels, kernels.chances[c])
            c += 1
            continue
        for k in range(n):
            mu[k] = columns.values[j, trials[k]]
        if columns.n_ordered[j] >= 0:
            m = 0
            for number in columns.order[j, : columns.n_ordered[j]]:
                if place[number] >= 0:
                    ranks[j, m] = place[number]
                    m += 1
        _spread(of, ranks[j], rules, mu, sigma)
        if of[STEP] > 0:
            kernels.n_distinct[j] = _find_distinct(mu, sigma, ranks[j], kernels.distinct[:, j])
        _measure(loops, of, trials, kept[j], kernels, j)
    _round_priors(columns.ranges, kernels)


@outer
def _round_priors(ranges: Array, kernels: Kernels) -> None:
    """Priors' masses as Optuna rounds them where it takes many masses together: of all continuous parameters, of one.

    It rounds all kernels' so, here the others keep the digits of `math.erf`: near observations the last one decides
    nothing. Far from all of them only priors count, and the density ratios of all points are equal but for rounding.
    """
    together = 0
    for last in (False, True):
        for j in range(len(ranges)):
            if ranges[j, N_CHOICES] > 0:
                continue
            low, high, within = ranges[j, CUT], ranges[j, CUT + 1], 0
            if ranges[j, STEP] > 0:
                for k in kernels.distinct[FIRST, j, : kernels.n_distinct[j]]:
                    within += low <= kernels.normals[MU, j, k] < high
            elif last:
                within = together
            else:
                for value in kernels.normals[MU, j]:
                    together += low <= value < high
            if within >= MANY:
                kernels.normals[LOG_MASS, j, -1] = ranges[j, PRIOR]


@part
def _weigh(loops: Integers, given: Array, n: int, prior_weight: float, weights: Array) -> None:
    """Fill in the shares of n trials and the prior."""
    if len(given):
        for k in range(n + 1):
            weights[k] = given[k]
        return
    for k in range(n + 1):
        weights[k] = 1.0
    if n == 0:
        return
    if n > _FULL:  # numpy's linspace from 1 / n to 1
        ramp = n - _FULL
        start = 1.0 / n
        step = (1.0 - start) / (ramp - 1) if ramp > 1 else 0.0
        for k in range(ramp):
            weights[k] = k * step + start
        if ramp > 1:
            weights[ramp - 1] = 1.0
    weights[n] = prior_weight
    whole = np.zeros(1)
    reduce(loops, ADD, weights, whole)
    for k in range(n + 1):
        weights[k] /= whole[0]


@part
def _fit_choices(
    loops: Integers, columns: Columns, trials: Integers, j: int, prior_weight: float, kernels: Kernels, chances: Array
) -> None:
    """Fill in the chances of the choices that trials made, in the order in which these come, and the prior's."""
    n, n_choices, which = len(trials), int(columns.ranges[j, N_CHOICES]), kernels.distinct[WHICH, j]
    row_of = np.empty(n_choices, dtype=np.int64)
    for choice in range(n_choices):
        row_of[choice] = -1
    count = 0
    for k in range(n + 1):
        choice = int(columns.values[j, trials[k]]) if k < n else -1
        if k < n and row_of[choice] >= 0:
            which[k] = row_of[choice]
            continue
        which[k] = count
        _spread_chance(loops, chances[count, :n_choices], choice, n, prior_weight)
        if k < n:
            row_of[choice] = count
        count += 1
    kernels.n_distinct[j] = count


@part
def _spread_chance(loops: Integers, chances: Array, choice: int, n: int, prior_weight: float) -> None:
    """A trial's choice has a chance more than the others; -1: none has. Of n trials."""
    for other in range(len(chances)):
        chances[other] = prior_weight / (n + 1) if n else 1.0 / len(chances)
    if n == 0:
        return
    if choice >= 0:
        chances[choice] += 1
    together = np.zeros(1)
    reduce(loops, ADD, chances, together)
    if together[0] != 0:
        for other in range(len(chances)):
            chances[other] /= together[0]


@outer
def _spread(of: Array, ranks: Integers, rules: Rules, mu: Array, sigma: Array) -> None:
    """Each kernel's sigma: the distance to its farther neighbour, the bounds among them; last the prior's."""
    low, high, n = of[EDGE], of[EDGE + 1], len(ranks)
    narrowest = (high - low) / min(rules.clip, 2.0 + n) if rules.clip > 0 else rules.least
    last, here = low, mu[ranks[0]] if n else high
    for i in range(n):
        following = mu[ranks[i + 1]] if i < n - 1 else high
        before, after = here - last, following - here
        width = max(before, after)
        if not rules.endpoints and n >= 2:
            if i == 0:
                width = after
            elif i == n - 1:
                width = before
        sigma[ranks[i]] = min(max(width, narrowest), high - low)
        last, here = here, following
    mu[n], sigma[n] = 0.5 * (low + high), high - low


@outer
def _find_distinct(mu: Array, sigma: Array, ranks: Integers, distinct: Integers) -> int:
    """The first of runs of equal kernels in ascending order of mu, and the number of each one's run; how many runs."""
    n = len(ranks)
    which, first = distinct[WHICH], distinct[FIRST]
    count = 0
    for i in range(n):
        k = ranks[i]
        if i == 0 or mu[k] != mu[ranks[i - 1]] or sigma[k] != sigma[ranks[i - 1]]:
            first[count] = k
            count += 1
        which[k] = count - 1
    first[count] = n
    which[n] = count
    return count + 1


@part
def _measure(loops: Integers, of: Array, trials: Integers, kept: Array, kernels: Kernels, j: int) -> None:
    """Masses and logs of one parameter's kernels: what is kept of the last mixture, and what is not, which is kept."""
    mu, sigma, n = kernels.normals[MU, j], kernels.normals[SIGMA, j], len(trials)
    log_masses, log_sigma = kernels.normals[LOG_MASS, j], kernels.normals[LOG_SIGMA, j]
    anew = np.empty(n + 1, dtype=np.int64)
    m = 0
    for k in range(n):
        number = trials[k]
        if kept[0, number] == sigma[k]:
            log_masses[k], log_sigma[k] = kept[1, number], kept[2, number]
        else:
            anew[m] = k
            m += 1
    anew[m] = n
    room = np.empty((3, m + 1))
    a, b, logs = room[0], room[1], room[2]
    for i in range(m + 1):
        k = anew[i]
        a[i], b[i], logs[i] = (of[CUT] - mu[k]) / sigma[k], (of[CUT + 1] - mu[k]) / sigma[k], sigma[k]
    masses = log_mass(loops, a, b, 2.0)
    apply(loops, LOGS, logs, logs)
    for i in range(m + 1):
        k = anew[i]
        log_masses[k], log_sigma[k] = masses[i], logs[i]
        if k < n:
            kept[0, trials[k]], kept[1, trials[k]], kept[2, trials[k]] = sigma[k], masses[i], logs[i]
