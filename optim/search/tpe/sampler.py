"""CompiledTPESampler: Optuna's TPESampler, the same proposals from the same seed, at a fraction of its time.

What is Optuna's own business stays there: options, random start, constraints, sharing what is running. Replaced is
what it computes anew for every proposal: the search space, the split of the history, the estimators, their densities.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma, default_gamma_multiobjective, default_weights
from optuna.trial import FrozenTrial

from optim.search.tpe import loops
from optim.search.tpe.history import History
from optim.search.tpe.parzen import Weigh


class CompiledTPESampler(optuna.samplers.TPESampler):
    """Proposes what `optuna.samplers.TPESampler` proposes for the same options, history and random state.

    Takes TPESampler's arguments, by name. Subclasses that bring their own Parzen estimator get Optuna's code.
    Proposals may differ where two candidates' densities are equal up to rounding. Where numbers are so far apart that
    Optuna's code raises OverflowError (a range 1e154 times as wide as a later one) it may propose, or raise ValueError.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_history"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._history = History()

    def continue_from(self, other: CompiledTPESampler) -> None:
        """Take over what another sampler of the same study has read of its trials."""
        self._history = other._history

    def _covers(self, study: optuna.Study) -> bool:
        return self._parzen_estimator_cls is _ParzenEstimator and loops.found()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What the trials that ended have in common; with `group`, all that any of them has."""
        if not self._covers(study):
            return super().infer_relative_search_space(study, trial)
        if not self._is_multivariate(study):
            return {}
        with self._history.lock:
            self._history.see(study, study._get_trials(deepcopy=False, use_cache=True))
            if not self._group:
                return dict(self._history.space)
            self._search_space_group = self._history.group
            spaces = [dict(sorted(space.items())) for space in self._history.group.search_spaces]
            return {name: d for space in spaces for name, d in space.items() if not d.single()}

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._covers(study):
            return super()._sample_relative(study, trial, search_space)
        if not search_space or self._starts(study):
            return {}
        return self._sample(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of one parameter, from its own history."""
        if not self._covers(study) or self._warn_independent_sampling:
            return super().sample_independent(study, trial, param_name, param_distribution)
        if self._starts(study):
            return self._random_sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _starts(self, study: optuna.Study) -> bool:
        with self._history.lock:
            self._history.see(study, study._get_trials(deepcopy=False, use_cache=True))
            return len(self._history.ended) < self._n_startup_trials

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._covers(study):
            return super()._sample(study, trial, search_space)
        several = study._is_multi_objective()
        self._gamma = self._gamma or (default_gamma_multiobjective if several else default_gamma)
        with self._history.lock, np.errstate(all="ignore"):
            trials = study._get_trials(deepcopy=False, use_cache=not self._constant_liar)
            self._history.see(study, trials)
            running: dict[int, Mapping[str, Any]] = {}
            if self._constant_liar:
                others = [n for n in self._history.unfinished if n != trial.number and n < len(trials)]
                running = self._history.running(trials, others, lambda one: self._get_params(one, study))
            of_good, of_bad = self._history.estimators(search_space, running)
            below, above = self._history.split(self._gamma(len(self._history.ended)), running)
            weigh, options, n_ended = self._weigh(), self._parzen_estimator_parameters, len(self._history.ended)
            good = of_good.fit_once(below, np.ones if several else weigh, options, n_ended)
            bad = of_bad.fit(above, weigh, options) if running else of_bad.fit_once(above, weigh, options, n_ended)
            points = good.sample(self._rng.rng, self._n_ei_candidates)
            best = points[np.argmax(good.log_pdf(points) - bad.log_pdf(points))].tolist()
        pairs = zip(search_space.items(), best, strict=True)
        return {name: distribution.to_external_repr(value) for (name, distribution), value in pairs}

    def _weigh(self) -> Weigh | None:
        """What gives trials their weights: Optuna's way to call the user's own, which is asked every time."""
        weights = self._parzen_estimator_parameters.weights
        return None if weights is default_weights else functools.partial(_ParzenEstimator._call_weights_func, weights)
