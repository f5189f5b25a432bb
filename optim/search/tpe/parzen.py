"""Parzen estimators as Optuna builds them: a kernel around every observation, and one, the prior, over everything.

`optuna.samplers._tpe.parzen_estimator` and `probability_distributions` say what is computed; here it is computed in
the same order of additions, with loops over kernels compiled and what is the same for many kernels computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from optuna.samplers._tpe.parzen_estimator import EPS, _ParzenEstimatorParameters

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel
from optim.search.tpe.columns import Column, Range, common
from optim.search.tpe.normal import (
    MANY,
    VANISHING,
    Normals,
    add_log_pdf,
    draw,
    log_mass,
    log_mass_among_many,
    log_masses,
)

_AT_ONCE = 32_768  # densities: more of them leave the processor's cache


class _Choices(NamedTuple):
    """Kernels of a categorical parameter: kernel k gives its choices the probabilities table[codes[k]]."""

    table: Array  # (n_choices + 1, n_choices); the last row is the prior's
    codes: Integers  # (n_kernels,)


class Estimator:
    """Fits mixtures to the trials of the same columns, one after the other.

    Most kernels are those of the mixture before: a trial more changes its neighbours'. They are kept, by trial.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = columns
        self.ranges = [column.range for column in columns]
        self._numerical = [column for column in columns if not column.range.n_choices]
        self._cuts = np.array([column.range.cut for column in self._numerical]).reshape(-1, 2)
        self._kept = np.empty((len(self._numerical), 3, 0))  # sigma, log mass, log sigma

    def fit(self, trials: Integers, weigh: Callable[[int], Array], parameters: _ParzenEstimatorParameters) -> Mixture:
        """The mixture of the trials, given by number, that have all parameters; weigh: so many weights of them."""
        trials = common(self.columns, trials)
        n = len(trials)
        weights = np.append(weigh(n), [parameters.prior_weight]) if n else np.array([1.0])
        weights /= weights.sum()
        choices = {
            j: _choices(column.values[trials], column.range.n_choices, parameters.prior_weight)
            for j, column in enumerate(self.columns)
            if column.range.n_choices
        }
        return Mixture(self.ranges, weights, choices, *self._normals(trials, parameters))

    def _normals(
        self, trials: Integers, parameters: _ParzenEstimatorParameters
    ) -> tuple[Normals, list[tuple[Integers, Integers]]]:
        """The numerical parameters' kernels; of each the distinct ones and which of them each is, if it is discrete."""
        n = len(trials)
        normals = Normals(self._cuts, *np.empty((4, len(self._numerical), n + 1)))
        size = max(len(column.values) for column in self.columns)
        if size > self._kept.shape[2]:
            more = np.full((len(self._numerical), 3, size - self._kept.shape[2]), np.nan)
            self._kept = np.append(self._kept, more, axis=2)
        place = np.full(size, -1)
        place[trials] = np.arange(n)
        distinct, anew = [], np.empty(len(self._numerical) * (n + 1), dtype=np.int64)
        n_anew = 0
        for j, column in enumerate(self._numerical):
            (low, high), order = column.range.edges, column.order
            if order is None:  # unstable, as Optuna's: the order of ties decides which of them gets which sigma
                order = trials[np.argsort(column.values[trials])]
            narrowest = (high - low) / min(100.0, 2.0 + n) if parameters.consider_magic_clip else EPS
            rules = (low, high, narrowest, parameters.consider_endpoints)
            ranks = _spread(column.values, order, place, rules, normals.mu[j], normals.sigma[j])
            n_anew += _recall(trials, self._kept[j], normals, j, anew[n_anew:])
            if column.range.step:
                distinct.append(_distinct(normals.mu[j], normals.sigma[j], ranks))
        self._measure(trials, normals, anew[:n_anew])
        return normals, distinct

    def _measure(self, trials: Integers, normals: Normals, anew: Integers) -> None:
        """Masses and logs of the kernels that are not those of the mixture before; they are kept."""
        j, k = np.divmod(anew, len(trials) + 1)
        mu, sigma = normals.mu[j, k], normals.sigma[j, k]
        masses = log_mass((self._cuts[j, 0] - mu) / sigma, (self._cuts[j, 1] - mu) / sigma)
        normals.log_masses[j, k] = masses
        normals.log_sigma[j, k] = logs = np.log(sigma)
        of_trials = k < len(trials)
        j, number = j[of_trials], trials[k[of_trials]]
        for i, values in enumerate((sigma, masses, logs)):
            self._kept[j, i, number] = values[of_trials]


class Mixture:
    """A mixture of products of one-dimensional kernels over `ranges`.

    weights: shape (n_kernels,); of the last kernel, the prior, too. choices: by parameter. normals: of the numerical
    parameters. distinct: of each discrete one the first of equal kernels, and which of these each kernel is.
    """

    def __init__(
        self,
        ranges: Sequence[Range],
        weights: Array,
        choices: dict[int, _Choices],
        normals: Normals,
        distinct: Sequence[tuple[Integers, Integers]],
    ):
        self._ranges, self._weights, self._choices, self._normals = ranges, weights, choices, normals
        self._log_weights = np.log(weights)
        self._rows = {j: row for row, j in enumerate(j for j, of in enumerate(ranges) if not of.n_choices)}
        self._continuous = [j for j in self._rows if not ranges[j].step]
        self._distinct = dict(zip((j for j in self._rows if ranges[j].step), distinct, strict=True))
        self._round_priors([self._rows[j] for j in self._continuous])
        for j, (first, _) in self._distinct.items():
            self._round_priors([self._rows[j]], first)

    def _round_priors(self, rows: Sequence[int], kernels: Integers | slice = slice(None)) -> None:
        """Priors' masses as Optuna rounds them where it takes many masses, of these rows and kernels, together.

        Far from all observations only priors count: the density ratios of all points there are equal but for rounding.
        """
        cuts, mu, sigma = self._normals.cuts, self._normals.mu, self._normals.sigma
        if len(rows) * mu.shape[1] < MANY:
            return
        inside = sum(np.count_nonzero((cuts[j, 0] <= mu[j, kernels]) & (mu[j, kernels] < cuts[j, 1])) for j in rows)
        if inside >= MANY:
            for j in rows:
                low, high = (cuts[j] - mu[j, -1]) / sigma[j, -1]
                self._normals.log_masses[j, -1] = log_mass_among_many(low, high)

    def sample(self, rng: np.random.RandomState, size: int) -> Array:
        """Points of shape (size, n_parameters): codes of choices and values. Takes from rng what Optuna takes."""
        active = rng.choice(len(self._weights), p=self._weights, size=size)
        out = np.empty((size, len(self._ranges)))
        for j, choices in self._choices.items():
            quantile = rng.rand(size)
            reached = np.cumsum(choices.table[choices.codes[active]], axis=-1)
            reached[:, -1] = 1
            out[:, j] = np.sum(reached < quantile[:, np.newaxis], axis=-1)
        if self._rows:
            low, high = self._normals.cuts[:, :1], self._normals.cuts[:, 1:]
            drawn = draw(rng, low, high, self._normals.mu[:, active], self._normals.sigma[:, active])
            for j, values in zip(self._rows, drawn, strict=True):
                out[:, j] = _on_grid(np.exp(values) if self._ranges[j].log else values, self._ranges[j])
        return out

    def log_pdf(self, points: Array) -> Array:
        """The log density at points of shape (n_points, n_parameters)."""
        tables = [self._table(j, points[:, j]) for j in range(len(self._ranges)) if j not in self._continuous]
        x = np.empty((len(self._continuous), len(points)))
        for i, j in enumerate(self._continuous):
            x[i] = np.log(points[:, j]) if self._ranges[j].log else points[:, j]
        continuous = np.array([self._rows[j] for j in self._continuous], dtype=np.int64)
        n_rows = min(len(points), max(1, _AT_ONCE // len(self._weights)))
        total = np.empty((n_rows, len(self._weights)))
        out = np.empty(len(points))
        for first in range(0, len(points), n_rows):
            rows = slice(first, first + n_rows)
            logs = total[: len(out[rows])]
            logs.fill(0.0)
            for table, which, minus in tables:
                _add(logs, table[rows], which, minus)
            add_log_pdf(logs, x[:, rows], continuous, self._normals, self._log_weights)
            out[rows] = _log_sums(logs)
        return out

    def _table(self, j: int, x: Array) -> tuple[Array, Integers, Array]:
        """Log masses at x of parameter j's distinct kernels, which of them each kernel is, its mass in the bounds."""
        of = self._ranges[j]
        if of.n_choices:
            choices = self._choices[j]
            logs = np.log(choices.table)[:, x.astype(np.int64)].T
            return np.ascontiguousarray(logs), choices.codes, np.zeros(len(choices.codes))
        row, (first, which) = self._rows[j], self._distinct[j]
        left, right = x - of.step / 2, x + of.step / 2
        if of.log:
            left, right = np.log(left), np.log(right)
        masses = log_masses(left, right, self._normals.mu[row, first], self._normals.sigma[row, first])
        return masses, which, self._normals.log_masses[row]


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
    return _Choices(table, np.append(observed.astype(np.int64), n_choices))


@kernel
def _spread(
    values: Array, order: Integers, place: Integers, rules: tuple[float, float, float, bool], mu: Array, sigma: Array
) -> Integers:
    """Fill in mu and sigma: the distance to the farther neighbour, the bounds among them; last the prior's.

    order: trials by ascending value; place: the kernel of each, -1 if it has none. Returns the kernels in that order.
    """
    low, high, narrowest, endpoints = rules
    n = len(mu) - 1
    ranks = np.empty(n, dtype=np.int64)
    m = 0
    for number in order:
        if place[number] >= 0:
            ranks[m] = place[number]
            mu[ranks[m]] = values[number]
            m += 1
    for i in range(n):
        here = mu[ranks[i]]
        before = here - (mu[ranks[i - 1]] if i > 0 else low)
        after = (mu[ranks[i + 1]] if i < n - 1 else high) - here
        width = max(before, after)
        if not endpoints and n >= 2:
            if i == 0:
                width = after
            elif i == n - 1:
                width = before
        sigma[ranks[i]] = min(max(width, narrowest), high - low)
    mu[n], sigma[n] = 0.5 * (low + high), high - low
    return ranks


@kernel
def _recall(trials: Integers, kept: Array, normals: Normals, j: int, anew: Integers) -> int:
    """Fill in what is known of row j's kernels; which others there are goes into `anew`, how many is returned."""
    n = len(trials)
    sigma, log_masses, log_sigma = normals.sigma[j], normals.log_masses[j], normals.log_sigma[j]
    n_anew = 0
    for k in range(n):
        if kept[0, trials[k]] == sigma[k]:
            log_masses[k], log_sigma[k] = kept[1, trials[k]], kept[2, trials[k]]
        else:
            anew[n_anew] = j * (n + 1) + k
            n_anew += 1
    anew[n_anew] = j * (n + 1) + n
    return n_anew + 1


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
