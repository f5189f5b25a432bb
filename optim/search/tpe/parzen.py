"""Parzen estimators as Optuna builds them: a kernel around every observation, and one, the prior, over everything.

`optuna.samplers._tpe.parzen_estimator` and `probability_distributions` say what is computed; here it is computed in
the same order of additions, with what is the same for many kernels, or from one mixture to the next, computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import EPS, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from engine.compiled.arrays import Array, Integers
from optim.search.tpe import mixtures
from optim.search.tpe.columns import Table
from optim.search.tpe.fitting import Kernels, Room, Rules, fit
from optim.search.tpe.loops import loops
from optim.search.tpe.normal import MANY, quantiles

Weigh = Callable[[int], Array]


class Estimator:
    """Fits mixtures to trials of a table, one after the other: each is good until another one is fitted in the room.

    Most kernels are those of the mixture before: a trial more changes its neighbours'. They are kept, by trial.
    """

    def __init__(self, table: Table, room: Room):
        self.table = table
        self._room = room
        self._kept = np.empty((len(table.space), 3, 0))

    def fit(self, trials: Integers, weigh: Weigh | None, options: _ParzenEstimatorParameters) -> Mixture:
        """The mixture of the trials, given by number, that have all parameters.

        weigh: so many weights; None: TPESampler's own. Raises what Optuna raises where they are no weights.
        """
        columns = self.table.columns
        trials = trials[columns.whole[trials]]
        n = len(trials)
        weights = self._weights(n, weigh, options.prior_weight)
        if (more := columns.values.shape[1] - self._kept.shape[2]) > 0:
            self._kept = np.append(self._kept, np.full((len(self._kept), 3, more), np.nan), axis=2)
        kernels, ranks = self._room.kernels(columns.ranges, n + 1)
        for j in self.table.with_ties():
            ranks[j] = np.argsort(columns.values[j, trials])  # unstable, as Optuna's: ties differ in their sigmas
        clip = 100.0 if options.consider_magic_clip else 0.0
        rules = Rules(float(options.prior_weight), clip, EPS, bool(options.consider_endpoints))
        fit(loops(), columns, trials, weights, rules, self._kept, ranks, kernels)
        return Mixture(columns.ranges, kernels, own_weights=len(weights) == 0)

    def fit_once(
        self, trials: Integers, weigh: Weigh | None, options: _ParzenEstimatorParameters, n_ended: int
    ) -> Mixture:
        """The same; the mixture before, if its trials and options are those, and as many trials had ended."""
        held = (self, n_ended, options, weigh, trials.tobytes())
        if not isinstance(self._room.holds, tuple) or self._room.holds[:-1] != held:
            mixture = self.fit(trials, weigh, options)
            self._room.holds = (*held, mixture)
        return cast("Mixture", self._room.holds[-1])

    def _weights(self, n: int, weigh: Weigh | None, prior_weight: float) -> Array:
        """The shares of n trials and the prior; none where they are TPESampler's own, which the fit knows."""
        if n == 0 or (weigh is None and 0 <= prior_weight < math.inf):
            return np.empty(0)
        weights = np.append((weigh or default_weights)(n), [prior_weight])
        if len(weights) != n + 1:
            raise ValueError(f"the weights of {n} trials are {len(weights) - 1}")
        weights /= weights.sum()
        return weights.astype(float, casting="same_kind")


class Mixture:
    """A mixture of products of one-dimensional kernels; ranges: of the parameters. own_weights: TPESampler's own."""

    def __init__(self, ranges: Array, kernels: Kernels, *, own_weights: bool):
        self._ranges, self._kernels, self._own_weights = ranges, kernels, own_weights

    def sample(self, rng: np.random.RandomState, size: int) -> Array:
        """Points of shape (size, n_parameters): codes of choices and values. Takes from rng what Optuna takes.

        Raises ValueError where the weights are no probabilities.
        """
        weights = self._kernels.weights[0]
        if self._own_weights:
            chosen = mixtures.choose(weights, rng.random_sample(size))
        else:
            chosen = rng.choice(len(weights), p=weights, size=size)
        uniform = rng.random_sample((len(self._ranges), size))  # first the choices, then the numbers
        points, a, b = mixtures.outline(self._ranges, self._kernels, chosen, uniform)
        q = uniform.ravel()[uniform.size - len(a) :]
        x = quantiles(loops(), q, a, b, 2.0) if len(a) < MANY else _truncnorm.ppf(q, a, b)
        mixtures.place(loops(), self._ranges, self._kernels, chosen, x, points)
        return points

    def log_pdf(self, points: Array) -> Array:
        """The log density at points of shape (n_points, n_parameters)."""
        return mixtures.log_pdf(loops(), self._ranges, self._kernels, points)
