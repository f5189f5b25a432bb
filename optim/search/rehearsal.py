"""A few made-up trials in memory: what a sampler or pruner cannot do is found out before anything is written.

Many of Optuna's samplers load an optional package, or look at their arguments, only once they have a model: after the
random start, when a study is already under way.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import optuna

from optim.errors import SpecError, cut
from optim.problem.lookahead import check_lookahead
from optim.problem.plan import Plan, make_plan
from optim.record.quiet import no_warnings, quiet_optuna
from optim.search.proposals import Proposer
from optim.search.samplers import make_pruner, make_sampler, missing_package
from optim.spec.sections import ENUMERATING, Direction, NamedSpec
from optim.spec.space import SearchSpace
from optim.spec.study import StudySpec

_TRIALS, _ROUNDS = 3, 3


def ready(spec: StudySpec, *, again: bool = True) -> tuple[Plan, str, bool]:
    """A plan that may be run, one line about look-ahead, and whether that is good news. again: as check_lookahead.

    Everything a study can be refused for, in the order its user would want to hear it: the file and what it names
    (make_plan), sampler and pruner, the strategy on the study's own bars. Nothing is written. SpecError.
    """
    plan = make_plan(spec)
    rehearse(spec, plan.space, [goal.direction for goal in plan.objective.goals], len(plan.cells))
    return plan, *check_lookahead(plan, again=again)


def rehearse(spec: StudySpec, space: SearchSpace, directions: Sequence[Direction], n_rounds: int) -> None:
    """Ask, report and tell made-up values; SpecError when the sampler or the pruner raises anything."""
    make_sampler(spec, 0)  # with the arguments as they are given
    make_pruner(spec, n_rounds)
    study_section = spec.study
    sampler, pruner = (_hasty(named) for named in (study_section.sampler, study_section.pruner))
    if sampler.name in ENUMERATING:
        sampler = NamedSpec(name="RandomSampler")
    update = {"sampler": sampler, "pruner": pruner, "enqueue": []}
    hasty = spec.model_copy(update={"study": study_section.model_copy(update=update)})
    with quiet_optuna(), no_warnings():
        _search(hasty, space, directions, n_rounds)


def _hasty(named: NamedSpec) -> NamedSpec:
    """The same with a random start of one trial, where it has one."""
    for module in (optuna.samplers, optuna.pruners):
        kind = getattr(module, named.name, None)
        if kind is not None and "n_startup_trials" in inspect.signature(kind).parameters:
            return NamedSpec(name=named.name, **{**named.arguments(), "n_startup_trials": 1})
    return named


def _search(spec: StudySpec, space: SearchSpace, directions: Sequence[Direction], n_rounds: int) -> None:
    storage = optuna.storages.InMemoryStorage()
    pruner = make_pruner(spec, n_rounds)
    study = optuna.create_study(storage=storage, directions=list(directions), pruner=pruner)
    proposer, rng = Proposer(spec, space, study, storage), np.random.default_rng(0)
    for batch in range(_TRIALS):
        try:
            proposal = next(proposer.ask(batch, 1))
            if proposal is None:
                return
        except Exception as error:  # noqa: BLE001 - a sampler may raise anything
            raise _refusal(spec, "sampler", spec.study.sampler.name, error) from None
        try:
            for step in range(min(n_rounds, _ROUNDS) if len(directions) == 1 else 0):
                proposal.trial.report(float(rng.normal()), step)
                proposal.trial.should_prune()
        except Exception as error:  # noqa: BLE001 - and so may a pruner
            raise _refusal(spec, "pruner", spec.study.pruner.name, error) from None
        study.tell(proposal.trial, [float(value) for value in rng.normal(size=len(directions))])


def _refusal(spec: StudySpec, role: str, name: str, error: Exception) -> SpecError:
    if isinstance(error, SpecError):
        return error
    where = f"{spec.path}: [study] {role}"
    if isinstance(error, ImportError):
        return SpecError(missing_package(where, name, error))
    return SpecError(f"{where}: {name} cannot search this space: {type(error).__name__}: {cut(str(error))}")
