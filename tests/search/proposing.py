"""Studies for TPE to be asked in, and what it proposes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from optim.search import tpe

SPACE: dict[str, BaseDistribution] = {
    "real": FloatDistribution(-3.0, 5.0),
    "log": FloatDistribution(1e-4, 10.0, log=True),
    "grid": FloatDistribution(0.0, 1.0, step=0.05),
    "int": IntDistribution(1, 60),
    "even": IntDistribution(2, 90, step=2),
    "logint": IntDistribution(1, 500, log=True),
    "choice": CategoricalDistribution(("a", "b", "c")),
    "switch": CategoricalDistribution((True, False)),
}
STATES = (TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def suggest(trial: optuna.Trial, name: str, of: BaseDistribution) -> Any:
    if isinstance(of, CategoricalDistribution):
        return trial.suggest_categorical(name, of.choices)
    assert isinstance(of, FloatDistribution | IntDistribution)
    how = trial.suggest_int if isinstance(of, IntDistribution) else trial.suggest_float
    if of.log:
        return how(name, of.low, of.high, log=True)  # type: ignore[arg-type]
    return how(name, of.low, of.high, step=of.step)  # type: ignore[arg-type]


def history(rng: np.random.Generator, names: list[str], n: int, n_values: int) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended in every way; values repeat, and every fifth trial lacks a parameter."""
    trials = []
    for i in range(n):
        own = {name: SPACE[name] for name in names if i % 5 or name != names[-1]}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=int(rng.integers(2**31))))
        asked = study.ask(own)
        state = STATES[int(rng.integers(len(STATES)))]
        values = [float(np.round(rng.normal(), 1)) for _ in range(n_values)]
        n_steps = int(rng.integers(0, 4)) if n_values == 1 else 0  # Optuna prunes by one objective only
        steps = {step: float(np.round(rng.normal(), 1)) for step in range(n_steps)}
        if steps and rng.random() < 0.2:
            steps[max(steps)] = float("nan")
        trial = create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=asked.params,
            distributions=own,
            intermediate_values=steps,
        )
        if rng.random() < 0.3:
            trial.set_constraint("c", float(np.round(rng.normal(), 1)))
        trials.append(trial)
    return trials


def proposals(make: Callable[..., BaseSampler], given: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Three batches of three proposals after a history, told in between; some of it grows while they are asked."""
    rng = np.random.default_rng(seed)
    n_values = len(given["directions"])
    study = optuna.create_study(directions=given["directions"])
    study.add_trials(history(rng, given["names"], given["n"], n_values))
    found, before = [], None
    for batch in range(3):
        sampler = make(seed=seed + batch, **given["options"])
        if before is not None:
            tpe.hand_over(before, sampler)
        study.sampler = before = sampler
        asked = [study.ask() for _ in range(3)]
        for trial in asked:
            for name in given["names"]:
                if name != given["names"][-1] or trial.number % 3:  # a conditional one
                    suggest(trial, name, SPACE[name])
            found.append(dict(trial.params))
        for trial in asked[:2]:  # the third goes on running
            study.tell(trial, [float(np.round(rng.normal(), 1)) for _ in range(n_values)])
    return found
