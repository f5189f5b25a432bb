"""A checked study ready to run: strategy, bars, cells, objective, identity.

Everything that can be wrong is found here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.account import Account, make_account
from engine.bars import Bars
from engine.cells import Cell, split
from engine.data import content_hash, load_bars
from engine.errors import EngineError
from engine.strategy import Strategy, load_strategy
from optim.errors import SpecError
from optim.expressions import suggestion
from optim.objective import Objective, build_objective
from optim.provenance import code_hash
from optim.record import is_url
from optim.secrets import expand
from optim.sections import ENUMERATING
from optim.space import Parameter, Point, SearchSpace
from optim.spec import StudySpec
from optim.tasks import Job, Task
from optim.tracking.info import Dataset, Scalar
from optim.tracking.settings import absolute_uri

_DRAWS, _ENUMERABLE = 20_000, 1_000_000  # how long a point is looked for


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
            "strategy": {
                "name": spec.strategy.name,
                "code": code_hash(self.strategy),
                "fixed": spec.strategy.fixed,
                **({} if spec.strategy.lookahead_check else {"lookahead_check": False}),
            },
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
    _check_parameters(spec, space, strategy)
    try:
        account = make_account({k: v for k, v in spec.backtest.items() if k != "portfolio"})
    except EngineError as error:
        raise SpecError(f"{spec.path}: [backtest] {error}") from None
    instruments, datasets = _load_data(spec)
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
    _check_sampling(plan)
    return plan


def feasible_point(plan: Plan) -> Point:
    """A point of the search space, the same for the same seed; SpecError when no draw satisfies the constraints."""
    import numpy as np

    rng = np.random.default_rng(plan.spec.study.seed)
    for _ in range(_DRAWS):
        if plan.space.feasible(point := plan.space.sample(rng)):
            return point
    if plan.space.size() <= _ENUMERABLE and (found := next(plan.space.grid(), None)) is not None:
        return found
    texts = ", ".join(repr(constraint.text) for constraint in plan.space.constraints)
    raise SpecError(
        f"{plan.spec.path}: the constraints of the search space leave no point: none of {_DRAWS} drawn satisfies "
        f"{texts}; loosen them or widen the ranges"
    )


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
        raise SpecError(f"{spec.path}: [strategy] name = {spec.strategy.name!r}: {error}") from None


def _check_parameters(spec: StudySpec, space: SearchSpace, strategy: Strategy) -> None:
    searched = [p.name for p in space.parameters]
    for name in searched:
        if name in spec.backtest:
            raise SpecError(f"{spec.path}: [backtest] {name} is searched too; give it in one place only")
    if strategy.params is None:  # a plain callable takes whatever it is given
        return
    own = strategy.params._fields
    known = [*own, *Account._fields]
    for name in [*searched, *spec.strategy.fixed]:
        if name not in known:
            raise SpecError(
                f"{spec.path}: strategy {strategy.name!r} has no parameter {name!r}{suggestion(name, known)} "
                f"(it has {', '.join(own)})"
            )
    for name in own:
        if name not in searched and name not in spec.strategy.fixed and name not in strategy.params._field_defaults:
            raise SpecError(
                f"{spec.path}: parameter {name!r} of strategy {strategy.name!r} has no value; "
                "add it to the search space or to [strategy] fixed"
            )


def _load_data(spec: StudySpec) -> tuple[tuple[Bars, ...], tuple[Dataset, ...]]:
    instruments: list[Bars] = []
    datasets: list[Dataset] = []
    for given in spec.data.files:
        file = (spec.folder / given).resolve()
        if not file.is_file():
            raise SpecError(f"{spec.path}: [data] path = {given!r}: no such file: {file}")
        try:
            bars = load_bars(
                file,
                start=spec.data.start,
                end=spec.data.end,
                date_format=spec.data.date_format,
                timezone=spec.data.timezone,
            )
        except EngineError as error:
            raise SpecError(f"{spec.path}: [data] {error}") from None
        first, last = (str(bars.timestamp[i].astype("datetime64[ns]").astype("datetime64[s]")) + "Z" for i in (0, -1))
        instruments.append(bars)
        datasets.append(Dataset(file.stem, given, content_hash(bars), len(bars.timestamp), first, last))
    return tuple(instruments), tuple(datasets)


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


def _check_sampling(plan: Plan) -> None:
    from optim.samplers import make_pruner, make_sampler

    spec = plan.spec
    make_sampler(spec, 0)
    make_pruner(spec, len(plan.cells))
    feasible_point(plan)
    if spec.study.sampler.name in ENUMERATING:
        for parameter in plan.space.parameters:
            if parameter.size() == float("inf"):
                raise SpecError(
                    f"{spec.path}: [study] sampler {spec.study.sampler.name} needs a finite space, "
                    f"but {parameter.name!r} is continuous; give it a step"
                )
    if len(plan.objective.goals) > 1:
        if spec.study.pruner.name != "NopPruner":
            raise SpecError(
                f"{spec.path}: [study] pruner: several objectives cannot be pruned; remove it or name NopPruner"
            )
        if spec.study.patience is not None:
            raise SpecError(f"{spec.path}: [study] patience: several objectives have no single best value; remove it")
    for row in spec.study.enqueue:
        names = [p.name for p in plan.space.parameters]
        if set(names) <= row.keys() and not plan.space.feasible(row):
            raise SpecError(f"{spec.path}: [[study.enqueue]] {row}: breaks a constraint of the search space")


def _plain(parameter: Parameter) -> dict[str, Any]:
    row = parameter._asdict()
    return {**row, "choices": list(parameter.choices), "when": parameter.when.text if parameter.when else None}
