"""Parzen estimators as Optuna builds them: a kernel around every observation, and one, the prior, over everything.

`optuna.samplers._tpe.parzen_estimator` and `probability_distributions` say what is computed; here it is computed in
the same order of additions, with what is the same for many kernels, or from one mixture to the next, computed once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import EPS, _ParzenEstimatorParameters

from engine.compiled.arrays import Array, Integers
from optim.search.tpe import mixtures
from optim.search.tpe.columns import Table
from optim.search.tpe.fitting import Kernels, Room, Rules, fit
from optim.search.tpe.loops import loops
from optim.search.tpe.normal import MANY, quantiles


class Estimator:
    """Fits mixtures to trials of a table, one after the other: each is good until the next.

    Most kernels are those of the mixture before: a trial more changes its neighbours'. They are kept, by trial.
    """

    def __init__(self, table: Table):
        self.table = table
        self._kept = np.empty((len(table.space), 3, 0))
        self._room = Room(table.columns.ranges)
        self._last: tuple[object, Mixture] | None = None

    def fit(
        self,
        trials: Integers,
        weigh: Callable[[int], Array] | None,
        parameters: _ParzenEstimatorParameters,
        state: object = None,
    ) -> Mixture:
        """The mixture of the trials, given by number, that have all parameters.

        weigh: so many weights; None: TPESampler's own. state: what the values of these trials depend on, where that is
        known; the same state and trials as the last time, and the mixture is the same.
        """
        state = None if state is None or (weigh and weigh is not np.ones) else (state, trials.tobytes())
        if state is not None and self._last and self._last[0] == state:
            return self._last[1]
        self._last = None
        columns = self.table.columns
        trials = trials[columns.whole[trials]]
        n = len(trials)
        if (more := columns.values.shape[1] - self._kept.shape[2]) > 0:
            self._kept = np.append(self._kept, np.full((len(self._kept), 3, more), np.nan), axis=2)
        weights = np.asarray(weigh(n), dtype=float) if weigh else np.empty(0)
        if weigh and len(weights) != n:
            raise ValueError(f"the weights of {n} trials are {len(weights)}")
        kernels, ranks = self._room.kernels(n + 1)
        for j in self.table.with_ties():
            ranks[j] = np.argsort(columns.values[j, trials])  # unstable, as Optuna's: ties differ in their sigmas
        clip = 100.0 if parameters.consider_magic_clip else 0.0
        rules = Rules(float(parameters.prior_weight), clip, EPS, bool(parameters.consider_endpoints))
        fit(loops(), columns, trials, weights, rules, self._kept, ranks, kernels)
        mixture = Mixture(columns.ranges, kernels)
        self._last = state, mixture
        return mixture


class Mixture:
    """A mixture of products of one-dimensional kernels; ranges: of the parameters."""

    def __init__(self, ranges: Array, kernels: Kernels):
        self._ranges, self._kernels = ranges, kernels

    def sample(self, rng: np.random.RandomState, size: int) -> Array:
        """Points of shape (size, n_parameters): codes of choices and values. Takes from rng what Optuna takes."""
        uniform = rng.random_sample((1 + len(self._ranges), size))  # for the kernels, the choices, the numbers
        points, chosen, a, b = mixtures.choose(self._ranges, self._kernels, uniform)
        q = uniform.ravel()[uniform.size - len(a) :]
        x = quantiles(loops(), q, a, b, 2.0) if len(a) < MANY else _truncnorm.ppf(q, a, b)
        mixtures.place(loops(), self._ranges, self._kernels, chosen, x, points)
        return points

    def log_pdf(self, points: Array) -> Array:
        """The log density at points of shape (n_points, n_parameters)."""
        return mixtures.log_pdf(loops(), self._ranges, self._kernels, points)
