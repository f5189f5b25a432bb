"""The kernels of a mixture, fitted to trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel, outer
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


class Kernels(NamedTuple):
    """The kernels of a mixture: a row a parameter, a column a kernel, the last one the prior.

    weights: of the kernels, and their logs.
    Of choices: which, the row of chances; chances, the probabilities of each. Of numbers: mu, sigma, the log of the
    mass within the bounds, the log of sigma. Of discrete ones also the distinct kernels, n_distinct of them: first, a
    kernel that is it; and which of them each is.
    """

    weights: Array  # (n_kernels,)
    log_weights: Array
    mu: Array
    sigma: Array
    log_masses: Array
    log_sigma: Array
    which: Integers
    first: Integers
    n_distinct: Integers  # (n_parameters,)
    chances: Array  # (n_parameters, most choices + 1, most choices); after the rows of the choices the prior's


class Room(NamedTuple):
    """Memory for the kernels of a mixture: asked of the system anew each time, it would cost more than they."""

    floats: Array
    integers: Integers


def room_for(n_parameters: int, n_kernels: int) -> Room:
    """Room for so many parameters' kernels."""
    n = n_parameters * n_kernels
    return Room(np.empty(4 * n + 2 * n_kernels), np.empty(2 * n, dtype=np.int64))


@kernel
def fit(
    loops: Integers,
    columns: Columns,
    trials: Integers,
    weights: Array,
    ranks: Integers,
    rules: Rules,
    kept: Array,
    room: Room,
) -> Kernels:
    """A kernel around every trial, and the prior's, in `room`: good until it is given to the next.

    weights: of the trials; none given: TPESampler's own, the older the less. ranks: of parameters without an order of
    their own, the trials by ascending value, numbered from 0; shape (n_parameters, n_trials). kept: of each parameter
    and trial the kernel of the last mixture (sigma, log mass, log sigma), NaN where there was none; brought up to date.
    """
    n_parameters, n = ranks.shape
    kernels = _laid_out(room, n_parameters, n + 1, int(columns.ranges[:, N_CHOICES].max()))
    _weigh(loops, weights, n, rules.prior_weight, kernels.weights)
    apply(loops, LOGS, kernels.weights, kernels.log_weights)
    place = np.full(columns.values.shape[1], -1)
    for k in range(n):
        place[trials[k]] = k
    for j in range(n_parameters):
        of, mu, sigma = columns.ranges[j], kernels.mu[j], kernels.sigma[j]
        if of[N_CHOICES] > 0:
            _fit_choices(loops, columns, trials, j, rules.prior_weight, kernels)
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
            kernels.n_distinct[j] = _find_distinct(mu, sigma, ranks[j], kernels.first[j], kernels.which[j])
        _measure(loops, of, trials, kept[j], kernels, j)
    _round_priors(columns.ranges, kernels)
    return kernels


@kernel
def _laid_out(room: Room, n_parameters: int, n_kernels: int, most: int) -> Kernels:
    """Kernels of which nothing is known yet, in `room`; most: choices of a parameter."""
    shape, n = (n_parameters, n_kernels), n_parameters * n_kernels
    floats, integers = room.floats, room.integers
    return Kernels(
        floats[4 * n : 4 * n + n_kernels],
        floats[4 * n + n_kernels : 4 * n + 2 * n_kernels],
        floats[:n].reshape(shape),
        floats[n : 2 * n].reshape(shape),
        floats[2 * n : 3 * n].reshape(shape),
        floats[3 * n : 4 * n].reshape(shape),
        integers[:n].reshape(shape),
        integers[n : 2 * n].reshape(shape),
        np.zeros(n_parameters, dtype=np.int64),
        np.zeros((n_parameters, most + 1, most)),
    )


@outer
def _round_priors(ranges: Array, kernels: Kernels) -> None:
    """Priors' masses as Optuna rounds them where it takes many masses together: of all continuous parameters, of one.

    Far from all observations only priors count: the density ratios of all points there are equal but for rounding.
    """
    together = 0
    for last in (False, True):
        for j in range(len(ranges)):
            if ranges[j, N_CHOICES] > 0:
                continue
            low, high, within = ranges[j, CUT], ranges[j, CUT + 1], 0
            if ranges[j, STEP] > 0:
                for k in kernels.first[j, : kernels.n_distinct[j]]:
                    within += low <= kernels.mu[j, k] < high
            elif last:
                within = together
            else:
                for value in kernels.mu[j]:
                    together += low <= value < high
            if within >= MANY:
                kernels.log_masses[j, -1] = ranges[j, PRIOR]


@kernel
def _weigh(loops: Integers, given: Array, n: int, prior_weight: float, weights: Array) -> None:
    """Fill in the shares of n trials and the prior."""
    weights[:] = 1.0
    if n == 0:
        return
    if len(given):
        weights[:n] = given
    elif n > _FULL:  # numpy's linspace from 1 / n to 1
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


@outer
def _fit_choices(
    loops: Integers, columns: Columns, trials: Integers, j: int, prior_weight: float, kernels: Kernels
) -> None:
    n, n_choices = len(trials), int(columns.ranges[j, N_CHOICES])
    for k in range(n):
        kernels.which[j, k] = int(columns.values[j, trials[k]])
    kernels.which[j, n] = n_choices
    for row in range(n_choices + 1):
        chances = kernels.chances[j, row, :n_choices]
        chances[:] = prior_weight / (n + 1) if n else 1.0 / n_choices
        if n == 0:
            continue
        if row < n_choices:
            chances[row] += 1
        together = kernels.mu[j, :1]  # choices have no use for it
        together[0] = 0.0
        reduce(loops, ADD, chances, together)
        if together[0] != 0:
            for choice in range(n_choices):
                chances[choice] /= together[0]


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
def _find_distinct(mu: Array, sigma: Array, ranks: Integers, first: Integers, which: Integers) -> int:
    """The first of runs of equal kernels in ascending order of mu, and the number of each one's run; how many runs."""
    n = len(ranks)
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


@kernel
def _measure(loops: Integers, of: Array, trials: Integers, kept: Array, kernels: Kernels, j: int) -> None:
    """Masses and logs of one parameter's kernels: what is kept of the last mixture, and what is not, which is kept."""
    mu, sigma, n = kernels.mu[j], kernels.sigma[j], len(trials)
    log_masses, log_sigma = kernels.log_masses[j], kernels.log_sigma[j]
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
    a, b, logs = np.empty(m + 1), np.empty(m + 1), np.empty(m + 1)
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
