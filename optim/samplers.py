"""Optuna's samplers and pruners, by the names and arguments of a study file."""

from __future__ import annotations

import difflib
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from optim.errors import SpecError
from optim.sections import ENUMERATING, NamedSpec
from optim.spec import StudySpec

if TYPE_CHECKING:
    from pathlib import Path


def batch_seed(seed: int, batch: int) -> int:
    """The sampler's seed for one batch, addressed by (seed, batch)."""
    return int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])


def make_sampler(spec: StudySpec, batch: int) -> optuna.samplers.BaseSampler:
    """The study's sampler for one batch. A QMC sequence is one sequence: its seed is the study's own."""
    named = spec.study.sampler
    if named.name in ENUMERATING:
        _refuse_arguments(named, spec.path)
        return optuna.samplers.RandomSampler(seed=batch_seed(spec.study.seed, batch))
    kind = _class_of(named, optuna.samplers, optuna.samplers.BaseSampler, "sampler", spec.path)
    if "seed" in named.arguments():
        raise SpecError(f"{spec.path}: [study] sampler: the seed is the study's; give it as [study] seed")
    seed = spec.study.seed if kind is optuna.samplers.QMCSampler else batch_seed(spec.study.seed, batch)
    return _construct(kind, {**named.arguments(), "seed": seed}, "sampler", spec.path)  # type: ignore[no-any-return]


def make_pruner(spec: StudySpec, n_rounds: int) -> optuna.pruners.BasePruner:
    """The study's pruner; Hyperband and successive halving learn the number of rounds unless told otherwise."""
    named = spec.study.pruner
    kind = _class_of(named, optuna.pruners, optuna.pruners.BasePruner, "pruner", spec.path)
    arguments = named.arguments()
    if kind is optuna.pruners.HyperbandPruner:
        arguments = {"max_resource": n_rounds, **arguments}
    if kind is optuna.pruners.PatientPruner and isinstance(arguments.get("wrapped_pruner"), dict):
        inner = NamedSpec(**arguments["wrapped_pruner"])
        arguments["wrapped_pruner"] = make_pruner(
            spec.model_copy(update={"study": spec.study.model_copy(update={"pruner": inner})}), n_rounds
        )
    return _construct(kind, arguments, "pruner", spec.path)  # type: ignore[no-any-return]


def looks_at_siblings(pruner: optuna.pruners.BasePruner) -> bool:
    """Whether a pruner compares a trial with others that are still running: then a batch goes cell by cell together."""
    if isinstance(pruner, optuna.pruners.PatientPruner):
        return pruner._wrapped_pruner is not None and looks_at_siblings(pruner._wrapped_pruner)
    independent = (
        optuna.pruners.NopPruner,
        optuna.pruners.PercentilePruner,  # and its child, MedianPruner: they ask for complete trials only
        optuna.pruners.ThresholdPruner,
        optuna.pruners.WilcoxonPruner,
    )
    return not isinstance(pruner, independent)


def _class_of(named: NamedSpec, module: Any, base: type, role: str, path: Path) -> type:
    known = [n for n in dir(module) if isinstance(getattr(module, n), type) and issubclass(getattr(module, n), base)]
    known = [n for n in known if n != base.__name__]
    if named.name not in known:
        near = difflib.get_close_matches(named.name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"Optuna has {', '.join(known)}"
        raise SpecError(f"{path}: [study] {role} name = {named.name!r}: unknown {role}; {hint}")
    return getattr(module, named.name)  # type: ignore[no-any-return]


def _construct(kind: type, arguments: dict[str, Any], role: str, path: Path) -> Any:
    known = inspect.signature(kind).parameters
    for name in arguments.keys() - {"seed"}:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise SpecError(f"{path}: [study] {role}: {kind.__name__} has no argument {name!r}; {hint}")
    accepted = {name: value for name, value in arguments.items() if name in known}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "experimental" is for Optuna's users to know who name the class
            return kind(**accepted)
    except Exception as error:  # noqa: BLE001 - whatever Optuna finds wrong with the arguments
        raise SpecError(f"{path}: [study] {role}: {kind.__name__} refused its arguments: {error}") from None


def _refuse_arguments(named: NamedSpec, path: Path) -> None:
    if named.arguments():
        raise SpecError(
            f"{path}: [study] sampler: {named.name} takes its grid from the search space, not from arguments"
        )
