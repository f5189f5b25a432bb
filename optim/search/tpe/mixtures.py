"""Points drawn from a mixture of kernels, and its densities at points."""

from __future__ import annotations

import math

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import inner, kernel, part
from optim.search.tpe.columns import CUT, HIGH, LOG, LOW, N_CHOICES, STEP
from optim.search.tpe.fitting import FIRST, LOG_MASS, LOG_SIGMA, MU, SIGMA, WHICH, Kernels
from optim.search.tpe.loops import ADD, EXP, MAXIMUM, apply, reduce
from optim.search.tpe.loops import LOG as LOGS
from optim.search.tpe.normal import LOG_SQRT_2PI, VANISHING, log_mass

_KNOWN, _MIX = 4096, 0x9E3779B1  # places of a table, a power of two; an odd number that scatters bits


@kernel
def choose(weights: Array, uniform: Array) -> Integers:
    """The kernels that uniform numbers choose, as numpy's `choice` does."""
    reached, chosen = np.empty(len(weights)), np.empty(len(uniform), dtype=np.int64)
    so_far = 0.0
    for k in range(len(weights)):
        so_far += weights[k]
        reached[k] = so_far
    for i in range(len(uniform)):
        low, high = 0, len(weights)  # the first that is reached by more
        while low < high:
            middle = (low + high) // 2
            if reached[middle] / so_far <= uniform[i]:
                low = middle + 1
            else:
                high = middle
        chosen[i] = low
    return chosen


@kernel
def outline(ranges: Array, kernels: Kernels, chosen: Integers, uniform: Array) -> tuple[Array, Array, Array]:
    """Points of chosen kernels with their choices drawn, and for numbers the bounds of their standard normals.

    uniform: shape (n_parameters, n_points), a row for each parameter of choices first.
    """
    n_parameters, n_points = len(ranges), len(chosen)
    points = np.empty((n_points, n_parameters))
    row = 0
    n_numbers = 0
    for j in range(n_parameters):
        n_choices = int(ranges[j, N_CHOICES])
        if n_choices == 0:
            n_numbers += 1
            continue
        for i in range(n_points):
            chances = kernels.chances[row, kernels.distinct[WHICH, j, chosen[i]]]
            so_far, choice = 0.0, 0
            for c in range(n_choices - 1):
                so_far += chances[c]
                choice += so_far < uniform[row, i]
            points[i, j] = choice
        row += 1
    a, b = np.empty(n_numbers * n_points), np.empty(n_numbers * n_points)
    m = 0
    for j in range(n_parameters):
        if ranges[j, N_CHOICES] == 0:
            for i in range(n_points):
                mu, sigma = kernels.normals[MU, j, chosen[i]], kernels.normals[SIGMA, j, chosen[i]]
                a[m], b[m] = (ranges[j, CUT] - mu) / sigma, (ranges[j, CUT + 1] - mu) / sigma
                m += 1
    return points, a, b


@kernel
def place(loops: Integers, ranges: Array, kernels: Kernels, chosen: Integers, x: Array, points: Array) -> None:
    """Points' numbers from draws x of standard normals, one parameter after the other: scaled, on their grid."""
    n_points = len(points)
    values = np.empty(n_points)
    m = 0
    for j in range(len(ranges)):
        if ranges[j, N_CHOICES] > 0:
            continue
        for i in range(n_points):
            values[i] = x[m + i] * kernels.normals[SIGMA, j, chosen[i]] + kernels.normals[MU, j, chosen[i]]
        m += n_points
        if ranges[j, LOG] > 0:
            apply(loops, EXP, values, values)
        low, high, step = ranges[j, LOW], ranges[j, HIGH], ranges[j, STEP]
        for i in range(n_points):
            if step > 0:
                values[i] = min(max(low + np.rint((values[i] - low) / step) * step, low), high)
            points[i, j] = values[i]


@kernel
def log_pdf(loops: Integers, ranges: Array, kernels: Kernels, points: Array) -> Array:
    """The log density of a mixture at points of shape (n_points, n_parameters)."""
    n_points, n_parameters = points.shape
    n_kernels = kernels.weights.shape[1]
    x = np.empty((n_parameters, n_points))
    for j in range(n_parameters):
        for i in range(n_points):
            x[j, i] = points[i, j]
    n_tables = widest = 0
    for j in range(n_parameters):
        if ranges[j, N_CHOICES] > 0 or ranges[j, STEP] > 0:
            n_tables += 1
            widest = max(widest, kernels.n_distinct[j])
        elif ranges[j, LOG] > 0:
            apply(loops, LOGS, x[j], x[j])
    tables = np.empty((n_tables, n_points, widest))  # of choices and discrete parameters
    t = c = 0
    for j in range(n_parameters):
        if ranges[j, N_CHOICES] > 0:
            _fill_chances(loops, kernels.chances[c], x[j], tables[t, :, : kernels.n_distinct[j]])
            c += 1
        elif ranges[j, STEP] > 0:
            _fill_masses(loops, ranges[j], kernels, j, x[j], tables[t])
        else:
            continue
        t += 1
    room, results = np.empty((2, n_kernels)), np.empty((2, n_points))
    logs, added, largest = room[0], room[1], results[0]
    sums: Array = results[1]
    for i in range(n_points):
        for k in range(n_kernels):
            logs[k] = added[k] = 0.0
        sums[i] = 0.0
        t = 0
        for j in range(n_parameters):
            if ranges[j, N_CHOICES] > 0:
                _add_table(logs, tables[t, i], kernels.distinct[WHICH, j])
            elif ranges[j, STEP] > 0:
                _add_masses(logs, tables[t, i], kernels.distinct[WHICH, j], kernels.normals[LOG_MASS, j])
            else:
                _add_normals(added, x[j, i], ranges[j], kernels.normals, j)
                continue
            t += 1
        _join(logs, added, kernels.weights[1])
        largest[i] = -np.inf
        reduce(loops, MAXIMUM, logs, largest[i : i + 1])
        if largest[i] == -np.inf:
            largest[i] = 0.0
            continue
        _shift(logs, largest[i])
        apply(loops, EXP, logs, logs)
        reduce(loops, ADD, logs, sums[i : i + 1])
    apply(loops, LOGS, sums, sums)
    for i in range(n_points):
        sums[i] += largest[i]
    return sums


@inner
def _fill_chances(loops: Integers, chances: Array, x: Array, table: Array) -> None:
    """Logs of the probabilities that each row of chances gives to the choices x."""
    for i in range(len(x)):
        for row in range(table.shape[1]):
            table[i, row] = chances[row, int(x[i])]
        apply(loops, LOGS, table[i], table[i])


@part
def _fill_masses(loops: Integers, of: Array, kernels: Kernels, j: int, x: Array, table: Array) -> None:
    """Log masses of the distinct kernels of a discrete parameter within half a step of points; the same ones once."""
    mu, sigma = kernels.normals[MU, j], kernels.normals[SIGMA, j]
    first = kernels.distinct[FIRST, j, : kernels.n_distinct[j]]
    n_points, n_distinct = len(x), len(first)
    room, ends = np.empty((2, n_points * n_distinct)), np.empty((2, n_points))
    left, right, a, b = ends[0], ends[1], room[0], room[1]
    for i in range(n_points):
        left[i], right[i] = x[i] - of[STEP] / 2, x[i] + of[STEP] / 2
    if of[LOG] > 0:
        apply(loops, LOGS, left, left)
        apply(loops, LOGS, right, right)
    bits = a.view(np.int64)
    which = np.empty((n_points, n_distinct), dtype=np.int64)
    known = np.empty(_KNOWN, dtype=np.int64)  # where an interval was last seen
    for i in range(_KNOWN):
        known[i] = -1
    n = 0
    for i in range(n_points):
        for d in range(n_distinct):
            k = first[d]
            a[n], b[n] = (left[i] - mu[k]) / sigma[k], (right[i] - mu[k]) / sigma[k]
            spot = ((bits[n] ^ (bits[n] >> 32)) * _MIX >> 32) & (_KNOWN - 1)
            before = known[spot]
            if before >= 0 and a[before] == a[n] and b[before] == b[n]:
                which[i, d] = before
            else:
                which[i, d] = known[spot] = n
                n += 1
    masses = log_mass(loops, a[:n], b[:n], 2.0)
    for i in range(n_points):
        for d in range(n_distinct):
            table[i, d] = masses[which[i, d]]


@inner
def _join(logs: Array, added: Array, log_weights: Array) -> None:
    for k in range(len(logs)):
        logs[k] = (logs[k] + added[k]) + log_weights[k]


@inner
def _shift(logs: Array, largest: float) -> None:
    for k in range(len(logs)):
        log = logs[k] - largest
        logs[k] = VANISHING if log < VANISHING else log


@inner
def _add_table(logs: Array, table: Array, which: Integers) -> None:
    for k in range(len(logs)):
        logs[k] += table[which[k]]


@inner
def _add_masses(logs: Array, table: Array, which: Integers, minus: Array) -> None:
    for k in range(len(logs)):
        logs[k] = (logs[k] + table[which[k]]) - minus[k]


@inner
def _add_normals(added: Array, x: float, of: Array, normals: Array, j: int) -> None:
    """Add a continuous parameter's log densities at x, -inf outside of the bounds; the roundings are Optuna's."""
    mu, sigma, log_masses, log_sigma = normals[MU, j], normals[SIGMA, j], normals[LOG_MASS, j], normals[LOG_SIGMA, j]
    for k in range(len(added)):
        z = (x - mu[k]) / sigma[k]
        added[k] += -(z * z) / 2.0 - LOG_SQRT_2PI - log_masses[k] - log_sigma[k]
    low, high = of[CUT], of[CUT + 1]
    if x < low or x > high:
        for k in range(len(added)):
            z = (x - mu[k]) / sigma[k]
            if z < (low - mu[k]) / sigma[k] or z > (high - mu[k]) / sigma[k]:
                added[k] = -math.inf
