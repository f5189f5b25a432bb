"""A checked study ready to run: strategy, bars, cells, objective, identity.

Everything that can be wrong is found here, before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.account import Account, make_account
from engine.bars import Bars
from engine.cells import Cell, split
from engine.data import content_hash, load_bars
from engine.errors import EngineError
from engine.strategy import Strategy, load_strategy
from optim.checks import aligned, check_parameters, check_sampling, check_storage, find_point
from optim.errors import SpecError, cut, shown
from optim.objective import Objective, build_objective
from optim.provenance import code_hash
from optim.record import is_url
from optim.rehearsal import rehearse
from optim.secrets import expand
from optim.space import Parameter, Point, SearchSpace
from optim.spec import StudySpec
from optim.tasks import Job, Task
from optim.tracking.info import Dataset, Scalar
from optim.tracking.settings import absolute_uri


class Plan(NamedTuple):
    """A study with everything it names loaded and checked."""

    spec: StudySpec
    space: SearchSpace
    objective: Objective
    strategy: Strategy
    job: Job
    account: Account
    datasets: tuple[Dataset, ...]
    cells: tuple[Cell, ...]  # the search, one round each
    holdouts: tuple[Cell, ...]
    storage: str  # absolute path or URL, secrets in the clear
    tracking_uri: str  # absolute, secrets in the clear

    def task(self, point: Mapping[str, Scalar], cells: tuple[Cell, ...]) -> Task:
        """One point on some cells; parameters named like an account rule replace the rule."""
        rules = {name: value for name, value in point.items() if name in Account._fields}
        params = {name: value for name, value in point.items() if name not in Account._fields}
        account = Account(**{**self.account._asdict(), **rules})
        return Task({**self.spec.strategy.fixed, **params}, account, cells)

    def fingerprint(self) -> dict[str, Any]:
        """All that the results depend on, as plain data: the same fingerprint, the same trials."""
        spec = self.spec
        return {
            "study": {
                "objective": list(spec.study.objectives),
                "direction": [goal.direction for goal in self.objective.goals],
                "seed": spec.study.seed,
                "sampler": spec.study.sampler.model_dump(),
                "pruner": spec.study.pruner.model_dump(),
                "enqueue": spec.study.enqueue,
            },
            "data": {"sha256": [d.digest for d in self.datasets], "periods_per_year": spec.data.periods_per_year},
            "strategy": {"name": spec.strategy.name, "code": code_hash(self.strategy), "fixed": spec.strategy.fixed},
            "search_space": {
                **{p.name: _plain(p) for p in self.space.parameters},
                "constraints": [c.text for c in self.space.constraints],
            },
            "backtest": {**self.account._asdict(), "portfolio": spec.portfolio},
            "evaluation": spec.evaluation.model_dump(),
            "parallel": {"batch_size": spec.parallel.batch_size, "ahead": spec.parallel.ahead},
        }


def make_plan(spec: StudySpec) -> Plan:
    """Load and check everything a study names; SpecError in one sentence for whatever is wrong."""
    objective = build_objective(spec)
    space = spec.search_space()
    strategy = _load_strategy(spec)
    check_parameters(spec, space, strategy)
    try:
        account = make_account({k: v for k, v in spec.backtest.items() if k != "portfolio"})
    except EngineError as error:
        raise SpecError(f"{spec.path}: [backtest] {cut(str(error), 300)}") from None
    instruments = aligned(spec, strategy, _load_data(spec))
    datasets = tuple(_dataset(spec, given, bars) for given, bars in zip(spec.data.files, instruments, strict=True))
    cells, holdouts = _make_cells(spec, instruments)
    job = Job(strategy.reference, str(spec.folder), instruments, spec.data.periods_per_year)
    plan = Plan(
        spec,
        space,
        objective,
        strategy,
        job,
        account,
        datasets,
        cells,
        holdouts,
        resolve_storage(spec),
        resolve_tracking(spec),
    )
    check_storage(spec, plan.storage)
    check_sampling(spec, space, len(objective.goals))
    rehearse(spec, space, [goal.direction for goal in objective.goals], len(cells))
    return plan


def feasible_point(plan: Plan) -> Point:
    """A point of the search space, the same for the same seed."""
    point = find_point(plan.space, plan.spec.study.seed)
    assert point is not None  # check_sampling has refused a space without one
    return point


def resolve_storage(spec: StudySpec) -> str:
    """[study] storage with variables expanded and paths made absolute."""
    storage = expand(spec.study.storage, f"{spec.path}: [study] storage")
    if storage.startswith("sqlite:///"):
        return f"sqlite:///{(spec.folder / storage.removeprefix('sqlite:///')).resolve()}"
    return storage if is_url(storage) else str((spec.folder / storage).resolve())


def resolve_tracking(spec: StudySpec) -> str:
    """[tracking.mlflow] tracking_uri with variables expanded and paths made absolute."""
    if not spec.tracking.enabled:
        return ""
    uri = expand(spec.tracking.mlflow.tracking_uri, f"{spec.path}: [tracking.mlflow] tracking_uri")
    return absolute_uri(uri, spec.folder)


def _load_strategy(spec: StudySpec) -> Strategy:
    try:
        return load_strategy(spec.strategy.name, spec.folder)
    except EngineError as error:
        raise SpecError(f"{spec.path}: [strategy] name = {shown(spec.strategy.name)}: {cut(str(error))}") from None


def _load_data(spec: StudySpec) -> tuple[Bars, ...]:
    instruments: list[Bars] = []
    for given in spec.data.files:
        file = (spec.folder / given).resolve()
        if not os.path.isfile(file):
            raise SpecError(f"{spec.path}: [data] path = {shown(given)}: no such file: {shown(str(file))}")
        try:
            instruments.append(load_bars(file, start=spec.data.start, end=spec.data.end))
        except EngineError as error:
            bounds = {"start": spec.data.start, "end": spec.data.end}
            key = next((k for k, text in bounds.items() if text is not None and repr(text) in str(error)), "path")
            value = shown(bounds.get(key) or given)
            raise SpecError(f"{spec.path}: [data] {key} = {value}: {cut(str(error), 400)}") from None
    return tuple(instruments)


def _dataset(spec: StudySpec, given: str, bars: Bars) -> Dataset:
    first, last = (str(bars.timestamp[i].astype("datetime64[ns]").astype("datetime64[s]")) + "Z" for i in (0, -1))
    return Dataset((spec.folder / given).resolve().stem, given, content_hash(bars), len(bars.timestamp), first, last)


def _make_cells(spec: StudySpec, instruments: tuple[Bars, ...]) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """One set of folds per instrument (or one for the portfolio).

    Ordered fold by fold, so that early rounds see every instrument.
    """
    which = [-1] if spec.portfolio else list(range(len(instruments)))
    try:
        parts = [
            split(
                len(instruments[max(i, 0)].timestamp),
                folds=spec.evaluation.folds,
                holdout=spec.evaluation.holdout,
                instrument=i,
            )
            for i in which
        ]
    except EngineError as error:
        raise SpecError(f"{spec.path}: [evaluation] {error}") from None
    cells = tuple(folds[k] for k in range(spec.evaluation.folds) for folds, _ in parts)
    return cells, tuple(holdout for _, holdout in parts if holdout is not None)


def _plain(parameter: Parameter) -> dict[str, Any]:
    row = parameter._asdict()
    return {**row, "choices": list(parameter.choices), "when": parameter.when.text if parameter.when else None}
