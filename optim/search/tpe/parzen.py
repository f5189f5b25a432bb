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
from optim.search.tpe.normal import MANY, VANISHING, add_log_pdf, draw, log_mass, log_mass_among_many

_AT_ONCE = 32_768  # densities: more of them leave the processor's cache


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
    log_masses: Array  # between the bounds
    log_sigma: Array
    distinct: tuple[Array, Array]  # mu, sigma
    which: Integers  # (n_kernels,)


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
        self._choices: dict[int, _Choices] = {}  # by parameter
        self._normals: dict[int, _Normals] = {}
        for j, (of, observed) in enumerate(zip(ranges, observations, strict=True)):
            if of.n_choices:
                self._choices[j] = _choices(observed, of.n_choices, parameters.prior_weight)
            else:
                self._normals[j] = _normals(observed, of, parameters)
        self._continuous = [j for j in self._normals if not ranges[j].step]
        for together in (self._continuous, *([j] for j in self._normals if ranges[j].step)):
            self._round_priors(together)

    def _round_priors(self, together: Sequence[int]) -> None:
        """Priors' masses as Optuna rounds them where it takes many masses `together`.

        Far from all observations only priors count: the density ratios of all points there are equal but for rounding.
        """
        kernels = [(self._ranges[j].cut, self._normals[j]) for j in together]
        if sum(np.count_nonzero((low <= n.distinct[0]) & (n.distinct[0] < high)) for (low, high), n in kernels) >= MANY:
            for (low, high), n in kernels:
                n.log_masses[-1] = log_mass_among_many((low - n.mu[-1]) / n.sigma[-1], (high - n.mu[-1]) / n.sigma[-1])

    def sample(self, rng: np.random.RandomState, size: int) -> Array:
        """Points of shape (size, n_parameters): codes of choices and values. Takes from rng what Optuna takes."""
        active = rng.choice(len(self._weights), p=self._weights, size=size)
        out = np.empty((size, len(self._ranges)))
        for j, choices in self._choices.items():
            quantile = rng.rand(size)
            reached = np.cumsum(choices.table[choices.codes[active]], axis=-1)
            reached[:, -1] = 1
            out[:, j] = np.sum(reached < quantile[:, np.newaxis], axis=-1)
        if self._normals:
            low, high = (np.array([[self._ranges[j].cut[end]] for j in self._normals]) for end in (0, 1))
            mu = np.array([normals.mu[active] for normals in self._normals.values()])
            sigma = np.array([normals.sigma[active] for normals in self._normals.values()])
            for j, drawn in zip(self._normals, draw(rng, low, high, mu, sigma), strict=True):
                out[:, j] = _on_grid(np.exp(drawn) if self._ranges[j].log else drawn, self._ranges[j])
        return out

    def log_pdf(self, points: Array) -> Array:
        """The log density at points of shape (n_points, n_parameters)."""
        tables = [self._table(j, points[:, j]) for j in range(len(self._ranges)) if j not in self._continuous]
        values = {j: np.log(points[:, j]) if self._ranges[j].log else points[:, j].copy() for j in self._continuous}
        n_points, n_kernels = len(points), len(self._weights)
        n_rows = min(n_points, max(1, _AT_ONCE // n_kernels))
        buffer, added_buffer = np.empty((2, n_rows, n_kernels))
        out = np.empty(n_points)
        for rows in (slice(first, first + n_rows) for first in range(0, n_points, n_rows)):
            total, added = buffer[: len(out[rows])], added_buffer[: len(out[rows])]
            total.fill(0.0)
            for table, which, minus in tables:
                _add(total, table[rows], which, minus)
            if values:
                added.fill(0.0)
                for j, x in values.items():
                    add_log_pdf(added, x[rows], self._ranges[j].cut, self._normals[j][:4])
                total += added
            total += self._log_weights
            out[rows] = _log_sums(total)
        return out

    def _table(self, j: int, x: Array) -> tuple[Array, Integers, Array]:
        """Log masses at x of parameter j's distinct kernels, which of them each kernel is, its mass in the bounds."""
        if j in self._choices:
            choices = self._choices[j]
            return choices.logs[:, x.astype(np.int64)].T.copy(), choices.codes, np.zeros(len(choices.codes))
        of, normals = self._ranges[j], self._normals[j]
        left, right = x - of.step / 2, x + of.step / 2
        if of.log:
            left, right = np.log(left), np.log(right)
        mu, sigma = normals.distinct
        masses = log_mass((left[:, np.newaxis] - mu) / sigma, (right[:, np.newaxis] - mu) / sigma, repeated=True)
        return masses, normals.which, normals.log_masses


def _log_sums(logs: Array) -> Array:
    """The logs of the sums over the rows' exponentials; `logs` is used up."""
    largest = logs.max(axis=1)
    nowhere = np.isneginf(largest)
    largest[nowhere] = 0
    logs -= largest[:, np.newaxis]
    np.maximum(logs, VANISHING, out=logs)
    sums = np.exp(logs, out=logs).sum(axis=1)
    sums[nowhere] = 0
    return np.asarray(np.log(sums) + largest)


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
    a, b = (of.cut[0] - distinct[0]) / distinct[1], (of.cut[1] - distinct[0]) / distinct[1]
    log_masses = log_mass(a, b)[which] if of.step else log_mass(a, b)
    return _Normals(mu, sigma, log_masses, np.log(sigma), distinct, which)


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
    """total[i, k] += table[i, which[k]] - minus[k], one after the other."""
    for i in range(total.shape[0]):
        for k in range(total.shape[1]):
            total[i, k] = (total[i, k] + table[i, which[k]]) - minus[k]
