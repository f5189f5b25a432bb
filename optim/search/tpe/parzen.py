"""Parzen estimators as Optuna builds them: a kernel around every observation, and one, the prior, over everything.

`optuna.samplers._tpe.parzen_estimator` and `probability_distributions` say what is computed; here it is computed in
the same order of additions, with loops over kernels compiled and what is the same for many kernels computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import EPS, _ParzenEstimatorParameters

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel
from optim.search.tpe.normal import LOG_SQRT_2PI, draw, log_mass


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


class _Choices(NamedTuple):
    """Kernels of a categorical parameter: kernel k gives its choices the probabilities table[codes[k]]."""

    table: Array  # (n_choices + 1, n_choices); the last row is the prior's
    logs: Array
    codes: Integers  # (n_kernels,)


class _Normals(NamedTuple):
    """Kernels of a numerical parameter. Of a discrete one the distinct kernels too, and which of them each is."""

    mu: Array  # (n_kernels,)
    sigma: Array
    distinct: tuple[Array, Array]  # mu, sigma
    which: Integers  # (n_kernels,)
    log_masses: Array  # of the distinct kernels between the bounds; of a continuous one, of all


class Mixture:
    """A mixture of products of one-dimensional kernels over `ranges`.

    observations: one array of shape (n,) a parameter: codes of choices, or values, logs where the range is one of logs.
    weights: of the observations, shape (n,); of the prior that is in `parameters`.
    """

    def __init__(
        self,
        ranges: Sequence[Range],
        observations: Sequence[Array],
        weights: Array,
        parameters: _ParzenEstimatorParameters,
    ):
        self._ranges = ranges
        n = len(observations[0])
        self._weights = np.append(weights, [parameters.prior_weight]) if n else np.array([1.0])
        self._weights /= self._weights.sum()
        self._log_weights = np.log(self._weights)
        self._kernels = [
            _choices(observed, of.n_choices, parameters.prior_weight)
            if of.n_choices
            else _normals(observed, of, parameters)
            for of, observed in zip(ranges, observations, strict=True)
        ]

    def sample(self, rng: np.random.RandomState, size: int) -> Array:
        """Points of shape (size, n_parameters): codes of choices and values. Takes from rng what Optuna takes."""
        active = rng.choice(len(self._weights), p=self._weights, size=size)
        out = np.empty((size, len(self._ranges)))
        numerical = [j for j, of in enumerate(self._ranges) if not of.n_choices]
        for j, kernels in enumerate(self._kernels):
            if isinstance(kernels, _Choices):
                quantile = rng.rand(size)
                reached = np.cumsum(kernels.table[kernels.codes[active]], axis=-1)
                reached[:, -1] = 1
                out[:, j] = np.sum(reached < quantile[:, np.newaxis], axis=-1)
        if numerical:
            low, high = (np.array([[self._ranges[j].cut[end]] for j in numerical]) for end in (0, 1))
            mu = np.array([self._kernels[j].mu[active] for j in numerical])  # type: ignore[union-attr]
            sigma = np.array([self._kernels[j].sigma[active] for j in numerical])  # type: ignore[union-attr]
            for j, drawn in zip(numerical, draw(rng, low, high, mu, sigma), strict=True):
                out[:, j] = _on_grid(np.exp(drawn) if self._ranges[j].log else drawn, self._ranges[j])
        return out

    def log_pdf(self, points: Array) -> Array:
        """The log density at points of shape (n_points, n_parameters)."""
        total = np.zeros((len(points), len(self._weights)))
        continuous = []
        for j, (of, kernels) in enumerate(zip(self._ranges, self._kernels, strict=True)):
            if isinstance(kernels, _Choices):
                table = np.take(kernels.logs, points[:, j].astype(np.int64), axis=1).T.copy()
                _add(total, table, kernels.codes, np.zeros(len(kernels.logs)))
            elif of.step:
                x, which = np.unique(points[:, j], return_inverse=True)
                left, right = x - of.step / 2, x + of.step / 2
                if of.log:
                    left, right = np.log(left), np.log(right)
                mu, sigma = kernels.distinct
                masses = log_mass((left[:, np.newaxis] - mu) / sigma, (right[:, np.newaxis] - mu) / sigma)
                _add(total, masses[which], kernels.which, kernels.log_masses)
            else:
                continuous.append(j)
        if continuous:
            _add_normals(
                total,
                np.array([np.log(points[:, j]) if self._ranges[j].log else points[:, j] for j in continuous]),
                np.array([self._ranges[j].cut for j in continuous]),
                *(np.array([self._kernels[j][field] for j in continuous]) for field in (0, 1, 4)),
            )
        total += self._log_weights
        largest = total.max(axis=1)
        largest[np.isneginf(largest)] = 0
        return np.asarray(np.log(np.exp(total - largest[:, np.newaxis]).sum(axis=1)) + largest)


def _on_grid(values: Array, of: Range) -> Array:
    if not of.step:
        return values
    return np.clip(of.low + np.round((values - of.low) / of.step) * of.step, of.low, of.high)


def _choices(observed: Array, n_choices: int, prior_weight: float) -> _Choices:
    if len(observed) == 0:
        table = np.full((n_choices + 1, n_choices), 1.0 / n_choices)
    else:
        table = np.full((n_choices + 1, n_choices), prior_weight / (len(observed) + 1))
        table[np.arange(n_choices), np.arange(n_choices)] += 1
        sums = table.sum(axis=1, keepdims=True)
        table /= np.where(sums == 0, 1, sums)
    return _Choices(table, np.log(table), np.append(observed.astype(np.int64), n_choices))


def _normals(observed: Array, of: Range, parameters: _ParzenEstimatorParameters) -> _Normals:
    low, high = of.edges
    order = np.argsort(observed)  # unstable, as Optuna's: the order of ties decides which of them gets which sigma
    n_kernels = len(observed) + 1
    narrowest = (high - low) / min(100.0, 1.0 + n_kernels) if parameters.consider_magic_clip else EPS
    sigma = _widths(observed, order, low, high, narrowest, parameters.consider_endpoints)
    mu = np.append(observed, 0.5 * (low + high))
    if of.step:
        first, which = _distinct(mu, sigma, order)
        distinct = mu[first], sigma[first]
    else:
        which, distinct = np.empty(0, dtype=np.int64), (mu, sigma)
    log_masses = log_mass((of.cut[0] - distinct[0]) / distinct[1], (of.cut[1] - distinct[0]) / distinct[1])
    return _Normals(mu, sigma, distinct, which, log_masses)


@kernel
def _widths(mu: Array, order: Integers, low: float, high: float, narrowest: float, endpoints: bool) -> Array:
    """Each kernel's sigma: the distance to its farther neighbour, the bounds among them; last the prior's."""
    n = len(mu)
    sigma = np.empty(n + 1)
    for i in range(n):
        here = mu[order[i]]
        before = here - (mu[order[i - 1]] if i > 0 else low)
        after = (mu[order[i + 1]] if i < n - 1 else high) - here
        width = max(before, after)
        if not endpoints and n >= 2:
            if i == 0:
                width = after
            elif i == n - 1:
                width = before
        sigma[order[i]] = min(max(width, narrowest), high - low)
    sigma[n] = high - low
    return sigma


@kernel
def _distinct(mu: Array, sigma: Array, order: Integers) -> tuple[Integers, Integers]:
    """The first kernels of runs of equal ones in ascending order of mu, and the number of each kernel's run."""
    n = len(order)
    first, which = np.empty(n + 1, dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    count = 0
    for i in range(n):
        k = order[i]
        if i == 0 or mu[k] != mu[order[i - 1]] or sigma[k] != sigma[order[i - 1]]:
            first[count] = k
            count += 1
        which[k] = count - 1
    first[count] = n
    which[n] = count
    return first[: count + 1].copy(), which


@kernel
def _add(total: Array, table: Array, which: Integers, minus: Array) -> None:
    """total[i, k] += table[i, which[k]] - minus[which[k]], one after the other."""
    for i in range(total.shape[0]):
        for k in range(total.shape[1]):
            total[i, k] = (total[i, k] + table[i, which[k]]) - minus[which[k]]


@kernel
def _add_normals(total: Array, x: Array, cut: Array, mu: Array, sigma: Array, log_masses: Array) -> None:
    """Add the log densities of continuous parameters: -inf outside of the bounds, by the same roundings as Optuna's.

    x: shape (n_parameters, n_points); cut: (n_parameters, 2); of the kernels: (n_parameters, n_kernels).
    """
    d, n_kernels = mu.shape
    a, b, log_sigma = np.empty_like(mu), np.empty_like(mu), np.log(sigma)
    for j in range(d):
        for k in range(n_kernels):
            a[j, k] = (cut[j, 0] - mu[j, k]) / sigma[j, k]
            b[j, k] = (cut[j, 1] - mu[j, k]) / sigma[j, k]
    added = np.empty(n_kernels)
    for i in range(total.shape[0]):
        added[:] = 0.0
        for j in range(d):
            for k in range(n_kernels):
                z = (x[j, i] - mu[j, k]) / sigma[j, k]
                density = -(z * z) / 2.0 - LOG_SQRT_2PI - log_masses[j, k] - log_sigma[j, k]
                added[k] += -np.inf if z < a[j, k] or z > b[j, k] else density
        for k in range(n_kernels):
            total[i, k] += added[k]
