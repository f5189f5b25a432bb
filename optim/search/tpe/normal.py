"""Truncated normals as Optuna computes them: the scalar functions compiled, the array functions numpy's, bit for bit.

What Optuna takes from `math` is taken from the same C library here, in a kernel; what it takes from numpy stays
numpy's, whose vector instructions round in their own way. `optuna.samplers._tpe._truncnorm` has the formulas.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import NamedTuple

import numpy as np
from optuna.samplers._tpe import _truncnorm

from engine.compiled.arrays import Array, Booleans, Integers
from engine.compiled.jit import inner, kernel

LOG_SQRT_2PI = math.log(math.sqrt(2 * math.pi))
_ROOT_2 = 2**0.5
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LOGISTIC = math.sqrt(3) / math.pi
VANISHING = -700.0  # the log of what is nothing beside 1; below it numpy's exp takes up to thirty times as long
_EPSILON = sys.float_info.epsilon
_KNOWN, _MIX = 4096, 0x9E3779B1  # places of a table, a power of two; an odd number that scatters bits
MANY = 2000  # from that many on Optuna's erf is a polynomial of numpy's


@inner
def _below(a: float) -> float:
    x = a / _ROOT_2
    if x < -1 / _ROOT_2:
        return 0.5 * math.erfc(-x)
    if x < 1 / _ROOT_2:
        return 0.5 + 0.5 * math.erf(x)
    return 1.0 - 0.5 * math.erfc(x)


@inner
def _log_below(a: float, two: float) -> float:
    """The log of the standard normal's mass below a. two: 2.0, unknown to the compiler, or a**2 became a * a."""
    if a > 6:
        return -_below(-a)
    if a > -20:
        return math.log(_below(a))
    square = math.pow(a, two)
    start = -0.5 * square - math.log(-a) - _HALF_LOG_2PI
    before, total, numerator, factor, sign = 0.0, 1.0, 1.0, 1.0, 1.0
    i = 0
    while abs(before - total) > _EPSILON:
        i += 1
        before = total
        sign = -sign
        factor *= 1 / square
        numerator *= 2 * i - 1
        total += sign * numerator * factor
    return start + math.log(total)


@kernel
def _log_ndtr(a: Array, two: float) -> Array:
    out = np.empty(len(a))
    for i in range(len(a)):
        out[i] = _log_below(a[i], two)
    return out


@kernel
def _mass_parts(a: Array, b: Array, two: float) -> tuple[Array, Array, Booleans]:
    """Of intervals in a tail: the logs of the masses beyond the near and the far end. Around 0: 0, what is outside."""
    near, far, central = np.zeros(len(a)), np.empty(len(a)), np.zeros(len(a), dtype=np.bool_)
    for i in range(len(a)):
        if b[i] <= 0:
            near[i], far[i] = _log_below(b[i], two), _log_below(a[i], two)
        elif a[i] > 0:
            near[i], far[i] = _log_below(-a[i], two), _log_below(-b[i], two)
        else:
            central[i] = True
            far[i] = -(0.5 + 0.5 * math.erf(a[i] / _ROOT_2)) - (0.5 + 0.5 * math.erf(-b[i] / _ROOT_2))
    return near, far, central


def log_mass(a: Array, b: Array) -> Array:
    """The logs of the standard normal's masses within [a, b], arrays of shape (n,)."""
    near, far, central = _mass_parts(a, b, 2.0)
    if not central.all():
        tail = ~central
        far[tail] = -np.exp(np.maximum(far[tail] - near[tail], VANISHING))
    return np.asarray(near + np.log1p(far))


@kernel
def _intervals(left: Array, right: Array, mu: Array, sigma: Array) -> tuple[Array, Array, Integers]:
    """The standardised intervals of all points and normals, most of the repeated ones once, and which each has."""
    a, b = np.empty(len(left) * len(mu)), np.empty(len(left) * len(mu))
    bits = a.view(np.int64)
    which = np.empty((len(left), len(mu)), dtype=np.int64)
    known = np.full(_KNOWN, -1)  # where an interval was last seen
    n = 0
    for i in range(len(left)):
        for k in range(len(mu)):
            a[n], b[n] = (left[i] - mu[k]) / sigma[k], (right[i] - mu[k]) / sigma[k]
            place = ((bits[n] ^ (bits[n] >> 32)) * _MIX >> 32) & (_KNOWN - 1)
            before = known[place]
            if before >= 0 and a[before] == a[n] and b[before] == b[n]:
                which[i, k] = before
            else:
                which[i, k] = known[place] = n
                n += 1
    return a[:n].copy(), b[:n].copy(), which


def log_masses(left: Array, right: Array, mu: Array, sigma: Array) -> Array:
    """The log masses of intervals [left, right], shape (n,), under normals (mu, sigma), shape (k,); shape (n, k)."""
    a, b, which = _intervals(left, right, mu, sigma)
    return log_mass(a, b)[which]


@functools.lru_cache(maxsize=1024)
def log_mass_among_many(a: float, b: float) -> float:
    """The same of one interval around 0, as Optuna rounds it among MANY such."""
    return float(_truncnorm._log_gauss_mass(np.full(MANY, a), np.full(MANY, b))[0])


class Normals(NamedTuple):
    """Normals cut to bounds: a row a parameter, a column a kernel."""

    cuts: Array  # (n_parameters, 2): the bounds
    mu: Array
    sigma: Array
    log_masses: Array  # between the bounds
    log_sigma: Array


@kernel
def add_log_pdf(total: Array, x: Array, rows: Integers, normals: Normals, log_weights: Array) -> None:
    """Add the log densities of some parameters, -inf outside of the bounds, and the weights; rounded as by Optuna.

    total: shape (n_points, n_kernels). x: shape (n_rows, n_points), what the parameters in `rows` of the normals are.
    """
    n_kernels = total.shape[1]
    added = np.empty(n_kernels)
    for i in range(total.shape[0]):
        added[:] = 0.0
        for j in range(len(rows)):
            low, high = normals.cuts[rows[j], 0], normals.cuts[rows[j], 1]
            mu, sigma = normals.mu[rows[j]], normals.sigma[rows[j]]
            log_masses, log_sigma = normals.log_masses[rows[j]], normals.log_sigma[rows[j]]
            here = x[j, i]
            for k in range(n_kernels):
                z = (here - mu[k]) / sigma[k]
                added[k] += -(z * z) / 2.0 - LOG_SQRT_2PI - log_masses[k] - log_sigma[k]
            if here < low or here > high:
                for k in range(n_kernels):
                    z = (here - mu[k]) / sigma[k]
                    if z < (low - mu[k]) / sigma[k] or z > (high - mu[k]) / sigma[k]:
                        added[k] = -np.inf
        for k in range(n_kernels):
            total[i, k] = (total[i, k] + added[k]) + log_weights[k]


def draw(rng: np.random.RandomState, low: Array, high: Array, mu: Array, sigma: Array) -> Array:
    """Draws of normals (mu, sigma) cut to [low, high]; all of shape (n_parameters, n_draws), low and high (.., 1)."""
    a, b = (low - mu) / sigma, (high - mu) / sigma
    if a.size >= MANY:
        return np.asarray(_truncnorm.rvs(a, b, mu, sigma, rng))
    quantiles = _quantile(rng.uniform(low=0, high=1, size=a.size), a.ravel(), b.ravel())
    return np.asarray(quantiles.reshape(a.shape) * sigma + mu)


def _quantile(q: Array, a: Array, b: Array) -> Array:
    mass = log_mass(a, b)
    left = a < 0
    out = np.empty_like(q)
    if (q_left := q[left]).size:
        out[left] = _inverse(np.logaddexp(_log_ndtr(a[left], 2.0), np.log(q_left) + mass[left]))
    right = ~left
    if (q_right := q[right]).size:
        out[right] = -_inverse(np.logaddexp(_log_ndtr(-b[right], 2.0), np.log1p(-q_right) + mass[right]))
    out[q == 0] = a[q == 0]
    out[q == 1] = b[q == 1]
    out[a == b] = math.nan
    return out


def _inverse(y: Array) -> Array:
    """x with log_ndtr(x) = y, by Newton's method from an approximation of the tail or the logistic function."""
    flipped = y > -1e-2
    z = y.copy()
    z[flipped] = np.log(-np.expm1(y[flipped]))
    x = np.empty_like(y)
    small = z < -5
    x[small] = -np.sqrt(-2.0 * (z[small] + LOG_SQRT_2PI))
    moderate = z >= -5
    x[moderate] = -_LOGISTIC * np.log(np.expm1(-z[moderate]))
    for _ in range(100):
        below = _log_ndtr(x, 2.0)
        dx = (below - z) * np.exp(below - (-0.5 * x**2 - LOG_SQRT_2PI))
        x -= dx
        if np.all(np.abs(dx) < 1e-8 * np.abs(x)):
            break
    x[flipped] *= -1
    return x
