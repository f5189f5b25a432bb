"""CompiledTPESampler: Optuna's TPESampler, the same proposals from the same seed, at a fraction of its time.

What is Optuna's own business stays there: options, random start, constraints, sharing what is running. Replaced is
what it computes anew for every proposal: the search space, the split of the history, the estimators, their densities.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma, default_gamma_multiobjective
from optuna.trial import FrozenTrial, TrialState

from engine.compiled.arrays import Integers
from optim.search.tpe.columns import Column
from optim.search.tpe.history import History
from optim.search.tpe.parzen import Mixture


class CompiledTPESampler(optuna.samplers.TPESampler):
    """Proposes what `optuna.samplers.TPESampler` proposes for the same options, history and random state.

    Takes TPESampler's arguments, by name. Subclasses that bring their own Parzen estimator get Optuna's code.
    Proposals may differ where two candidates' densities are equal up to rounding.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_history", "_fitted")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._history = History()
        self._fitted: dict[tuple[Any, ...], Mixture] = {}  # since a trial last ended

    def continue_from(self, other: CompiledTPESampler) -> None:
        """Take over what another sampler of the same study has read of its trials."""
        self._history = other._history

    def _covers(self, study: optuna.Study) -> bool:
        return self._parzen_estimator_cls is _ParzenEstimator

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What the trials that ended have in common; with `group`, all that any of them has."""
        if not self._covers(study):
            return super().infer_relative_search_space(study, trial)
        if not self._is_multivariate(study):
            return {}
        with self._history.lock:
            self._history.see(study, study._get_trials(deepcopy=False, use_cache=True))
            spaces: Iterable[Mapping[str, BaseDistribution]] = [self._history.shared or {}]
            if self._group:
                self._search_space_group = self._history.group
                spaces = self._history.group.search_spaces
            return {name: d for space in spaces for name, d in sorted(space.items()) if not d.single()}

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
                others = (trials[n] for n in self._history.unfinished if n != trial.number and n < len(trials))
                running = {t.number: self._get_params(t, study) for t in others if t.state == TrialState.RUNNING}
            columns = self._history.columns(search_space, running.items())
            below, above = self._history.split(self._gamma(len(self._history.ended)), running)
            good = self._mixture("good", columns, below, alike=several)
            bad = self._mixture("bad", columns, above, keep=not running)
            points = good.sample(self._rng.rng, self._n_ei_candidates)
            best = points[np.argmax(good.log_pdf(points) - bad.log_pdf(points))].tolist()
        pairs = zip(search_space.items(), best, strict=True)
        return {name: distribution.to_external_repr(value) for (name, distribution), value in pairs}

    def _mixture(
        self, side: str, columns: list[Column], trials: Integers, *, keep: bool = True, alike: bool = False
    ) -> Mixture:
        """The estimator over some trials; `keep`: the same is asked for until another trial has ended.

        alike: whatever the option `weights` says, each counts as much as the others.
        """
        key = (len(self._history.ended), side, *map(id, columns))
        if keep and (known := self._fitted.get(key)):
            return known
        options = self._parzen_estimator_parameters
        weigh = np.ones if alike else functools.partial(_ParzenEstimator._call_weights_func, options.weights)
        mixture = self._history.estimator(side, columns).fit(trials, weigh, options)
        if keep:
            self._fitted = {k: m for k, m in self._fitted.items() if k[0] == key[0]} | {key: mixture}
        return mixture
