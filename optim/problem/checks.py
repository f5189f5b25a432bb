"""What can be wrong with a study as a whole, found before its first trial and before anything is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import unquote, urlsplit

import numpy as np

from engine.data.bars import Bars
from engine.data.calendar import common, union
from engine.errors import EngineError
from engine.simulator.account import ALIASES, SEARCHABLE, check_rule
from engine.strategies.base import Strategy
from engine.strategies.parameters import caster
from optim.errors import SpecError, cut, shown
from optim.problem.sources import Source, files_of
from optim.record.files import MLFLOW, foreign_database, foreign_record, sqlite_file
from optim.spec.expressions import suggestion
from optim.spec.secrets import mask_uri
from optim.spec.sections import ENUMERATING
from optim.spec.space import ENUMERABLE, Parameter, Point, SearchSpace
from optim.spec.study import StudySpec

_DRAWS = 20_000  # before a small space is gone through for a point
_FILE_NAME = 255  # bytes
_DATABASES = ("postgresql", "mysql", "mariadb")
_TRACKED = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file")  # where MLflow's data can be


def check_parameters(spec: StudySpec, space: SearchSpace, strategy: Strategy) -> None:
    """Every searched and fixed parameter is one of the strategy's or an account rule, and of its type."""
    searched = [p.name for p in space.parameters]
    for name in searched:
        if name in spec.backtest:
            raise SpecError(f"{spec.path}: [backtest] {name} is searched too; give it in one place only")
    own = () if strategy.params is None else strategy.params._fields
    for name in {*searched} & {*own} & {*SEARCHABLE}:
        raise SpecError(
            f"{_stands(spec, name, searched)} is searched, and both a parameter of strategy {strategy.name!r} and an "
            "account rule; give the strategy's another name"
        )
    for name in spec.strategy.fixed:
        if name in SEARCHABLE and name not in own:
            raise SpecError(
                f"{spec.path}: [strategy.fixed] {name} is an account rule, no parameter of the strategy; "
                "move it to [backtest]"
            )
    if strategy.params is not None:  # a plain callable takes whatever it is given
        _check_names(spec, searched, strategy)
        _check_types(spec, space, strategy)
    for parameter in space.parameters:
        for value in _ends(parameter) if parameter.name in SEARCHABLE else ():
            try:
                check_rule(parameter.name, value)
            except EngineError as error:
                raise SpecError(f"{_stands(spec, parameter.name, searched)} reaches {value!r}: {error}") from None


def _check_names(spec: StudySpec, searched: Sequence[str], strategy: Strategy) -> None:
    own = strategy.params._fields
    known = [*own, *SEARCHABLE]
    for name in [*searched, *spec.strategy.fixed]:
        if name not in known:
            raise SpecError(
                f"{_stands(spec, name, searched)}: strategy {strategy.name!r} has no parameter {shown(name)}"
                f"{suggestion(name, known, ALIASES)} (it has {cut(', '.join(own))})"
            )
    for name in own:
        if name not in searched and name not in spec.strategy.fixed and name not in strategy.params._field_defaults:
            raise SpecError(
                f"{spec.path}: parameter {name!r} of strategy {strategy.name!r} has no value; "
                f"add it to the search space ({spec.space_place}) or to [strategy] fixed"
            )


def _check_types(spec: StudySpec, space: SearchSpace, strategy: Strategy) -> None:
    casts = {name: caster(hint) for name, hint in get_type_hints(strategy.params).items()}
    given = [("=", *pair) for pair in spec.strategy.fixed.items()]
    given += [("reaches", p.name, value) for p in space.parameters for value in _ends(p)]
    searched = [parameter.name for parameter in space.parameters]
    for verb, name, value in given:
        try:
            casts.get(name, lambda value: value)(value)
        except (TypeError, ValueError, OverflowError) as error:
            at = f"{_stands(spec, name, searched)} {verb} {shown(value)}"
            raise SpecError(f"{at}: must be {error}, says {strategy.name}") from None


def _stands(spec: StudySpec, name: str, searched: Sequence[str]) -> str:
    """Where a parameter is written: in the search space, or as a fixed one."""
    if name in searched:
        return f"{spec.space_place} [parameters.{name[:60]}]"
    return f"{spec.path}: [strategy.fixed] {name[:60]}"


def _ends(parameter: Parameter) -> Sequence[Any]:
    return parameter.choices if parameter.type == "categorical" else (parameter.low, parameter.high)


def aligned(
    spec: StudySpec, strategy: Strategy, sources: Sequence[Source], instruments: tuple[Bars, ...]
) -> tuple[Bars, ...]:
    """The bars as the study trades them; SpecError when these instruments cannot be traded together."""
    k, n = len(instruments), strategy.n_instruments
    where = f"{spec.path}: [strategy] name = {shown(spec.strategy.name)}"
    if strategy.joint and not spec.portfolio:
        raise SpecError(f"{where}: trades several instruments together; set [backtest] portfolio = true")
    if strategy.joint and not strategy.compiled:
        first = next(iter(get_type_hints(strategy.signal).values()))
        if not set(get_args(first)) <= {Bars, Ellipsis}:
            raise SpecError(f"{where}: a function of several instruments gets Bars, no DataFrames: tuple[Bars, ...]")
    if n not in (0, 1, k):
        raise SpecError(f"{where}: trades {n} instruments, but [data] gives {k}")
    if spec.data.align == "union" and not spec.portfolio:
        raise SpecError(
            f"{spec.path}: [data] align = 'union': is of instruments that share an account; set [backtest] portfolio = "
            "true, or remove align"
        )
    if spec.data.align != "refuse":
        try:
            return common(instruments) if spec.data.align == "common" else union(instruments)
        except EngineError as error:
            raise SpecError(f"{spec.path}: [data] align = '{spec.data.align}': {error}") from None
    for source, bars in zip(sources, instruments, strict=True):
        if spec.portfolio and not np.array_equal(bars.timestamp, instruments[0].timestamp):
            other, first = shown(source.given), shown(sources[0].given)
            raise SpecError(
                f"{spec.path}: [data] {other} has other times than {first}, but a portfolio "
                "trades all instruments at the same times; set [data] align = 'union' to trade each when it has a bar, "
                "or 'common' to keep the times all have"
            )
    return instruments


def check_storage(spec: StudySpec, storage: str) -> None:
    """The place of the record: a file that can be one, or a database URL."""
    where = f"{spec.path}: [study] storage = {shown(mask_uri(spec.study.storage))}"
    if storage.startswith("sqlite:") and not storage.startswith("sqlite:///"):
        raise SpecError(f"{where}: write sqlite:///FILE")
    if "://" in storage and not storage.startswith("sqlite:"):
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import SQLAlchemyError

        known = False
        with contextlib.suppress(SQLAlchemyError, ValueError):
            known = make_url(storage).get_backend_name() in _DATABASES
        if not known:
            raise SpecError(f"{where}: is no database URL; write sqlite:///FILE, postgresql://... or mysql://...")
        return
    path = sqlite_file(storage) or Path(storage)
    if os.path.isdir(path):
        raise SpecError(f"{where}: is a folder; name a file in it, e.g. optuna.journal")
    longest = max(len(os.fsencode(part)) for part in (*path.parts, f".{path.name}.{spec.study.name}.writer"))
    if longest > _FILE_NAME or len(os.fsencode(path)) > 4000:
        raise SpecError(f"{where}: is too long for a file name, with name = {shown(spec.study.name)}; shorten it")
    if blocking := next(
        (parent for parent in path.parents if os.path.exists(parent) and not os.path.isdir(parent)), None
    ):
        raise SpecError(f"{where}: {blocking} is a file, no folder; choose another folder")
    for key, file in inputs(spec):
        if path == file:
            raise SpecError(f"{where}: is the file of {key}; the record needs one of its own")
    if reason := foreign_record(storage, spec.study.name):
        raise SpecError(f"{where}: {reason}")


def check_tracking(spec: StudySpec, uri: str, storage: str) -> None:
    """The place of MLflow's data, where it is on this machine: a database or folder that can be one."""
    where = f"{spec.path}: [tracking.mlflow] tracking_uri = {shown(mask_uri(spec.tracking.mlflow.tracking_uri))}"
    database = sqlite_file(uri)
    if database is not None:
        if database == (sqlite_file(storage) or Path(storage)):
            raise SpecError(f"{where}: is [study] storage too; MLflow and Optuna cannot share a database, name another")
        if reason := foreign_database(database, MLFLOW):
            raise SpecError(f"{where}: {reason}")
    elif "://" in uri and urlsplit(uri).scheme.split("+")[0] not in _TRACKED:
        meant = " (postgres:// is postgresql://)" if uri.startswith("postgres:") else ""
        raise SpecError(
            f"{where}: is no place MLflow can write to{meant}; write sqlite:///FILE, postgresql://..., mysql://..., "
            "http://..., https://... or a folder"
        )
    elif uri.startswith("file:") or "://" not in uri:
        folder = Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else Path(uri)
        if uri and folder.exists() and not folder.is_dir():
            raise SpecError(f"{where}: is a file; name a folder, or write sqlite:///FILE")


def check_target(spec: StudySpec, target: Path, places: Sequence[str], foreign: Callable[[Path], str]) -> None:
    """`--output`: a new file, or an earlier one of its kind, of which `foreign` says why it is none; nothing that the
    study reads or writes (`places`).
    """
    written = [("[study] storage or [tracking.mlflow]", sqlite_file(place) or Path(place)) for place in places if place]
    for key, file in [*inputs(spec), *written]:
        if target == file or (target.exists() and file.exists() and target.samefile(file)):
            raise SpecError(f"--output {target}: is the file of {key}; name another")
    if reason := foreign(target):
        raise SpecError(f"--output {target}: {reason}")


def inputs(spec: StudySpec) -> Iterator[tuple[str, Path]]:
    """The files that a study reads, with the keys that name them; no target of anything."""
    yield "the study itself", spec.path
    named = [("[data]", name) for name in files_of(spec)]
    named += [("[data] detail", name) for name in spec.data.details]
    named += [(f"[data.features.{key}] path", one.path) for key, one in spec.data.features.items()]
    named += [("[strategy] name", spec.strategy.name.rpartition(":")[0])] if ".py" in spec.strategy.name else []
    named += [("[study] objective", name.rpartition(":")[0]) for name in spec.study.objectives if ".py:" in name]
    if isinstance(spec.strategy.search_space, str):
        named.append(("[strategy] search_space", spec.strategy.search_space))
    for key, name in named:
        yield key, (spec.folder / name).resolve()


def find_point(space: SearchSpace, seed: int) -> Point | None:
    """A point of the search space, the same for the same seed; None when neither draws nor a look through find one."""
    rng = np.random.default_rng(seed)
    for _ in range(_DRAWS if space.constraints else 1):
        if space.feasible(point := space.sample(rng)):
            return point
    return next(space.grid(), None) if space.size() <= ENUMERABLE else None


def check_sampling(spec: StudySpec, space: SearchSpace, n_goals: int) -> None:
    """There is a point to try, and the ways of searching go together."""
    if find_point(space, spec.study.seed) is None:
        texts = cut(", ".join(shown(constraint.text) for constraint in space.constraints))
        raise SpecError(
            f"{spec.space_place}: the constraints of the search space leave no point: none of {_DRAWS} drawn satisfies "
            f"{texts}; loosen them or widen the ranges"
        )
    for broken in _contradictions(spec, space, n_goals):
        raise SpecError(f"{spec.path}: [study] {broken}")


def _contradictions(spec: StudySpec, space: SearchSpace, n_goals: int) -> Iterator[str]:
    if spec.study.sampler.name in ENUMERATING:
        for parameter in space.parameters:
            if parameter.size() == float("inf"):
                yield (
                    f"sampler {spec.study.sampler.name} needs a finite space, "
                    f"but {parameter.name!r} is continuous; give it a step"
                )
    if n_goals > 1 and spec.study.pruner.name != "NopPruner":
        yield "pruner: several objectives cannot be pruned; remove it or name NopPruner"
    if n_goals > 1 and spec.study.patience is not None:
        yield "patience: several objectives have no single best value; remove it"
