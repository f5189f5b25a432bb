"""Optuna's samplers and pruners, by the names and arguments of a study file."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import optuna

from optim.errors import SpecError, cut, shown
from optim.record.quiet import no_warnings
from optim.search import pruners, tpe
from optim.spec.sections import ENUMERATING, NamedSpec
from optim.spec.study import StudySpec

if TYPE_CHECKING:
    from pathlib import Path


class _Role(NamedTuple):
    name: str
    module: ModuleType
    base: type
    example: str


SAMPLER = _Role("sampler", optuna.samplers, optuna.samplers.BaseSampler, "RandomSampler")
PRUNER = _Role("pruner", optuna.pruners, optuna.pruners.BasePruner, "MedianPruner")
_LARGEST = 1_000_000  # of a sampler's or pruner's number: beyond it there is no memory for what is counted
_TOML_TYPES: dict[str, tuple[tuple[type, ...], str]] = {  # by the names that Optuna's annotations have for them
    "bool": ((bool,), "true or false"), "int": ((int,), "a whole number"), "float": ((int, float), "a number"),
    "str": ((str,), "a text"), "list": ((list,), "a list"), "Sequence": ((list,), "a list"),
    "dict": ((dict,), "a table"), "Mapping": ((dict,), "a table"),
}  # fmt: skip


def batch_seed(seed: int, batch: int) -> int:
    """The sampler's seed for one batch, addressed by (seed, batch)."""
    return int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])


def make_sampler(
    spec: StudySpec, batch: int, before: optuna.samplers.BaseSampler | None = None
) -> optuna.samplers.BaseSampler:
    """The study's sampler for one batch. A QMC sequence is one sequence: its seed is the study's own.

    before: the sampler of another batch of the same study in memory; what it has read of the trials is not read again.
    """
    named = spec.study.sampler
    if named.name in ENUMERATING:
        _refuse_arguments(named, spec.path)
        return optuna.samplers.RandomSampler(seed=batch_seed(spec.study.seed, batch))
    kind = _class_of(named.name, SAMPLER, spec.path)
    if "seed" in named.arguments():
        raise SpecError(f"{spec.path}: [study] sampler: the seed is the study's; give it as [study] seed")
    seed = spec.study.seed if kind is optuna.samplers.QMCSampler else batch_seed(spec.study.seed, batch)
    sampler: optuna.samplers.BaseSampler = _construct(kind, named.arguments(), SAMPLER, spec.path, seed)
    tpe.hand_over(before, sampler)
    return sampler


def make_pruner(spec: StudySpec, n_rounds: int) -> optuna.pruners.BasePruner:
    """The study's pruner; Hyperband and successive halving learn the number of rounds unless told otherwise."""
    named = spec.study.pruner
    kind = _class_of(named.name, PRUNER, spec.path)
    return _construct(kind, named.arguments(), PRUNER, spec.path, n_rounds)  # type: ignore[no-any-return]


def looks_at_siblings(spec: StudySpec) -> bool:
    """Whether a pruner compares a trial with others that are still running: then a batch goes cell by cell together."""
    name, arguments = spec.study.pruner.name, spec.study.pruner.arguments()
    while name == "PatientPruner" and "wrapped_pruner" in arguments:
        arguments = arguments["wrapped_pruner"]
        name = arguments["name"]
    independent = (
        optuna.pruners.NopPruner,
        optuna.pruners.PatientPruner,  # around nothing
        optuna.pruners.PercentilePruner,  # and its child, MedianPruner: they ask for complete trials only
        optuna.pruners.ThresholdPruner,
        optuna.pruners.WilcoxonPruner,
    )
    return not issubclass(_class_of(name, PRUNER, spec.path), independent)


def _class_of(name: Any, role: _Role, path: Path) -> type:
    known = [n for n in dir(role.module) if _is_a(getattr(role.module, n), role.base) and n != role.base.__name__]
    if name not in known:
        near = difflib.get_close_matches(str(name)[:100], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"Optuna has {', '.join(known)}"
        raise SpecError(f"{path}: [study] {role.name} name = {shown(name)}: unknown {role.name}; {hint}")
    return getattr(role.module, name)  # type: ignore[no-any-return]


@functools.cache
def _parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind).parameters


def _is_a(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _construct(kind: type, arguments: dict[str, Any], role: _Role, path: Path, own: int) -> Any:
    """An object of Optuna. `own`: the seed of a sampler, the number of rounds of a pruner."""
    known = _parameters(kind)
    where = f"{path}: [study] {role.name}"
    accepted: dict[str, Any] = {"seed": own} if role is SAMPLER and "seed" in known else {}
    if kind is optuna.pruners.HyperbandPruner:
        accepted["max_resource"] = own
    for name, value in arguments.items():
        if name not in known or name == "seed":
            near = difflib.get_close_matches(name[:100], [n for n in known if n != "seed"], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(n for n in known if n != 'seed')}"
            raise SpecError(f"{where}: {kind.__name__} has no argument {shown(name)}; {hint}")
        accepted[name] = _argument(value, known[name].annotation, f"{where}: {kind.__name__} {name}", path, own)
    try:
        with no_warnings():  # "experimental" is for Optuna's users to know who name the class
            return tpe.compiled(**accepted) if tpe.covers(kind) else pruners.cheaper(kind)(**accepted)
    except ImportError as error:
        raise SpecError(missing_package(where, kind.__name__, error)) from None
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever Optuna finds wrong with the arguments
        raise SpecError(f"{where}: {kind.__name__} refused its arguments: {cut(str(error))}") from None


def _argument(value: Any, declared: Any, where: str, path: Path, own: int) -> Any:
    """A value as the argument wants it: of one of TOML's types; another sampler or pruner is a table with a name."""
    wanted = _alternatives(declared)
    for other in (SAMPLER, PRUNER):
        if other.base.__name__ in wanted:
            if not isinstance(value, dict):
                raise SpecError(f"{where} = {shown(value)}: must be a table such as {{ name = '{other.example}' }}")
            inner = {key: inner for key, inner in value.items() if key != "name"}
            return _construct(_class_of(value.get("name"), other, path), inner, other, path, own)
    plain = [name for name in _TOML_TYPES if name in wanted]
    if not plain:
        raise SpecError(f"{where} = {shown(value)}: cannot be given in a study file; leave it out")
    if type(value) not in {kind for name in plain for kind in _TOML_TYPES[name][0]}:
        raise SpecError(f"{where} = {shown(value)}: must be {' or '.join(_TOML_TYPES[name][1] for name in plain)}")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise SpecError(f"{where} = {shown(value)}: must not exceed {_LARGEST:,}")
    return value


def _alternatives(declared: Any) -> list[str]:
    """The names of the types that an annotation allows: `Callable[[int], int] | None` is Callable or None.

    Read as text: Optuna imports many of them for type checkers only.
    """
    text, before = declared if isinstance(declared, str) else inspect.formatannotation(declared), ""
    while text != before:
        text, before = re.sub(r"\[[^\[\]]*\]", "", text), text
    return [name.rpartition(".")[2].strip("() \n") for name in text.split("|")]


def missing_package(where: str, name: str, error: ImportError) -> str:
    """The sentence for a sampler or pruner whose optional package is not installed."""
    package = (error.name or "").partition(".")[0] or "another package"
    return f"{where}: {name} needs {package}, which is not installed: pip install {package}"


def _refuse_arguments(named: NamedSpec, path: Path) -> None:
    if named.arguments():
        raise SpecError(
            f"{path}: [study] sampler: {named.name} takes its grid from the search space, not from arguments"
        )
