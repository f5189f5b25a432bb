"""Truncated normals as Optuna computes them, compiled, bit for bit.

What Optuna takes from `math` is taken from the same C library here; what it takes from numpy is numpy's (`loops.py`).
`optuna.samplers._tpe._truncnorm` has the formulas.
"""

from __future__ import annotations

import functools
import math
import sys

import numpy as np
from optuna.samplers._tpe import _truncnorm

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import inner, kernel, outer, part
from optim.search.tpe.loops import EXP, EXPM1, LOG, LOG1P, apply, logaddexp

LOG_SQRT_2PI = math.log(math.sqrt(2 * math.pi))
_ROOT_2 = 2**0.5
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LOGISTIC = math.sqrt(3) / math.pi
VANISHING = -700.0  # the log of what is nothing beside 1; below it numpy's exp takes up to thirty times as long
_EPSILON = sys.float_info.epsilon
MANY = 2000  # from that many on Optuna's erf is a polynomial of numpy's


@inner
def _below(a: float) -> float:
    x = a / _ROOT_2
    if x < -1 / _ROOT_2:
        return 0.5 * math.erfc(-x)
    if x < 1 / _ROOT_2:
        return 0.5 + 0.5 * math.erf(x)
    return 1.0 - 0.5 * math.erfc(x)


@outer
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
def log_mass(loops: Integers, a: Array, b: Array, two: float) -> Array:
    """The logs of the standard normal's masses within [a, b], arrays of shape (n,). two: 2.0."""
    n = len(a)
    room = np.empty((3, n))
    near: Array = room[0]
    far, ratio = room[1], room[2]
    for i in range(n):
        near[i] = ratio[i] = 0.0
        if b[i] <= 0:
            near[i], far[i] = _log_below(b[i], two), _log_below(a[i], two)
        elif a[i] > 0:
            near[i], far[i] = _log_below(-a[i], two), _log_below(-b[i], two)
        else:
            far[i] = -(0.5 + 0.5 * math.erf(a[i] / _ROOT_2)) - (0.5 + 0.5 * math.erf(-b[i] / _ROOT_2))
            continue
        ratio[i] = far[i] - near[i]
        if ratio[i] < VANISHING:
            ratio[i] = VANISHING
    apply(loops, EXP, ratio, ratio)
    for i in range(n):
        if b[i] <= 0 or a[i] > 0:
            far[i] = -ratio[i]
    apply(loops, LOG1P, far, far)
    for i in range(n):
        near[i] += far[i]
    return near


@functools.lru_cache(maxsize=1024)
def log_mass_among_many(a: float, b: float) -> float:
    """The same of one interval around 0, as Optuna rounds it among MANY such."""
    return float(_truncnorm._log_gauss_mass(np.full(MANY, a), np.full(MANY, b))[0])


@kernel
def quantiles(loops: Integers, q: Array, a: Array, b: Array, two: float) -> Array:
    """The q-quantiles of standard normals cut to [a, b], all of shape (n,). two: 2.0."""
    mass = log_mass(loops, a, b, two)
    room, which = np.empty((3, len(q))), np.empty(len(q), dtype=np.int64)
    out: Array = room[0]
    beyond, within = room[1], room[2]
    for left in (True, False):
        n = 0
        for i in range(len(q)):
            if (a[i] < 0) == left:
                which[n] = i
                beyond[n] = _log_below(a[i] if left else -b[i], two)
                within[n] = q[i] if left else -q[i]
                n += 1
        apply(loops, LOG if left else LOG1P, within[:n], within[:n])
        for k in range(n):
            within[k] += mass[which[k]]
        logaddexp(loops, beyond[:n], within[:n])
        found = _inverse(loops, beyond[:n], two)
        for k in range(n):
            out[which[k]] = found[k] if left else -found[k]
    for i in range(len(q)):
        if q[i] == 0:
            out[i] = a[i]
        if q[i] == 1:
            out[i] = b[i]
        if a[i] == b[i]:
            out[i] = math.nan
    return out


@part
def _inverse(loops: Integers, y: Array, two: float) -> Array:
    """x with log_ndtr(x) = y, by Newton's method from an approximation of the tail or the logistic function."""
    n = len(y)
    room = np.empty((4, n))
    x: Array = room[0]
    z, work, below = room[1], room[2], room[3]
    apply(loops, EXPM1, y, work)
    for i in range(n):
        work[i] = -work[i]
    apply(loops, LOG, work, work)
    for i in range(n):
        z[i] = work[i] if y[i] > -1e-2 else y[i]
        work[i] = -z[i]
    apply(loops, EXPM1, work, work)
    apply(loops, LOG, work, work)
    for i in range(n):
        x[i] = -_LOGISTIC * work[i] if z[i] >= -5 else -math.sqrt(-2.0 * (z[i] + LOG_SQRT_2PI))
    for _ in range(100):
        for i in range(n):
            below[i] = _log_below(x[i], two)
            work[i] = below[i] - (-0.5 * (x[i] * x[i]) - LOG_SQRT_2PI)
        apply(loops, EXP, work, work)
        settled = True
        for i in range(n):
            dx = (below[i] - z[i]) * work[i]
            x[i] -= dx
            settled = settled and abs(dx) < 1e-8 * abs(x[i])
        if settled:
            break
    for i in range(n):
        if y[i] > -1e-2:
            x[i] *= -1
    return x
