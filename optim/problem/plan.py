"""A checked study ready to run: strategy, bars, cells, objective, identity.

Everything that can be wrong is found here, before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.cells import Cell
from engine.errors import EngineError
from engine.simulator.account import SEARCHABLE, Account, make_account
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.source import ENGINE, code_hashes
from optim.errors import SpecError, cut, shown
from optim.problem.checks import (
    aligned,
    check_parameters,
    check_sampling,
    check_storage,
    check_tracking,
    find_point,
)
from optim.problem.contracts import accounts_of, check_ticks
from optim.problem.data import (
    datasets_of,
    load_data,
    make_cells,
    notes_of,
    periods_per_year,
    same_features,
)
from optim.problem.detail import with_details
from optim.problem.objective import Objective, build_objective
from optim.spec.secrets import expand
from optim.spec.space import Parameter, Point, SearchSpace
from optim.spec.study import StudySpec
from optim.spec.uris import is_url
from optim.tracking.early import resolve_tracking
from optim.tracking.info import Dataset, Scalar
from optim.workers.tasks import Job, Task


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
    code: Mapping[str, str]  # what the results depend on, by file (engine.strategies.source)
    notes: tuple[str, ...] = ()  # what is strange about the searched bars
    each: tuple[Account, ...] = ()  # the account as every instrument has it; empty where all are alike
    effects: tuple[str, ...] = ()  # what keys of [data] did to the bars

    @property
    def clock(self) -> str:
        """Bars in a year, and where that is from."""
        how = "inferred from the bars" if self.spec.data.periods_per_year is None else "as given"
        return f"{self.job.periods_per_year:g} bars a year, {how}"

    @property
    def searched(self) -> tuple[Cell, ...]:
        """The searched bars of each instrument, or of the portfolio, in one piece."""
        return tuple(
            Cell(i, 0, max(cell.stop for cell in self.cells if cell.instrument == i))
            for i in dict.fromkeys(cell.instrument for cell in self.cells)
        )

    def days(self, cells: Sequence[Cell]) -> float:
        """From the first bar of a cell to its last, of the shortest one."""
        times = [self.job.instruments[max(cell.instrument, 0)].timestamp[cell.start : cell.stop] for cell in cells]
        return min(float(own[-1] - own[0]) / 86_400e9 for own in times)

    def task(self, point: Mapping[str, Scalar], cells: tuple[Cell, ...]) -> Task:
        """One point on some cells; parameters named like an account rule replace the rule."""
        rules = {name: value for name, value in point.items() if name in SEARCHABLE}
        params = {name: value for name, value in point.items() if name not in SEARCHABLE}
        task = Task({**self.spec.strategy.fixed, **params}, self.account, cells, each=self.each)
        return task.under(lambda account: account._replace(**rules)) if rules else task  # type: ignore[arg-type]

    def trial_task(self, point: Mapping[str, Scalar], cells: tuple[Cell, ...]) -> Task:
        """One point on some cells, as the search judges it: under the worst stress, by `aggregate = "worst_stress"`."""
        task = self.task(point, cells)
        if self.spec.evaluation.aggregate != "worst_stress":
            return task
        goal = self.objective.goals[0]
        return task._replace(worst_by=(goal.name, goal.direction))

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
                "enqueue": spec.study.enqueue[1:] if spec.start else spec.study.enqueue,
                "start": spec.start,
                "points": "swept in one sequence" if spec.sweeps else "asked in batches",
            },
            "data": {"bars": [d.digest for d in self.datasets], "periods_per_year": self.job.periods_per_year},
            "strategy": {
                "name": spec.strategy.name,
                "fixed": spec.strategy.fixed,
                **({} if spec.strategy.lookahead_check else {"lookahead_check": False}),
                **({} if self.job.zone == "UTC" else {"zone": self.job.zone}),
            },
            "code": {_shown(name, spec.folder): digest for name, digest in self.code.items()},
            "search_space": {
                **{p.name: _plain(p) for p in self.space.parameters},
                "constraints": [c.text for c in self.space.constraints],
                "order": [p.name for p in self.space.parameters],  # of a grid, of a sequence of random numbers
            },
            "backtest": {**self.account._asdict(), "portfolio": spec.portfolio},
            **({"instruments": spec.instruments} if spec.instruments else {}),
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
    loaded = load_data(spec)
    alike, said = same_features(loaded.bars, loaded.used)
    instruments = aligned(spec, strategy, loaded.sources, alike)
    cells, holdouts = make_cells(spec, instruments)
    instruments, inside, detailed = with_details(spec, loaded.sources, instruments, holdouts)
    each = accounts_of(spec, loaded.sources, account)
    check_ticks(spec, loaded.sources, each or (account,) * len(instruments), instruments, holdouts)
    datasets = tuple(datasets_of(loaded.sources, instruments, holdouts))
    code = code_hashes(_code_files(spec, strategy))
    rate = periods_per_year(spec, loaded.sources, instruments)
    job = Job(strategy.reference, str(spec.folder), instruments, rate, tuple(code.items()), strategy.zone)
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
        code,
        (*said, *inside, *notes_of(spec, loaded, instruments, holdouts, account)),
        each,
        (*loaded.effects, *detailed),
    )
    check_storage(spec, plan.storage)
    check_tracking(spec, plan.tracking_uri, plan.storage)
    check_sampling(spec, space, len(objective.goals))
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


def resolve_artifacts(spec: StudySpec) -> str:
    """[tracking.mlflow] artifact_location with variables expanded; a folder is relative to the study's."""
    given = spec.tracking.mlflow.artifact_location
    place = expand(given, f"{spec.path}: [tracking.mlflow] artifact_location")
    return place if not place or "://" in place else str((spec.folder / place).resolve())


def _load_strategy(spec: StudySpec) -> Strategy:
    try:
        return load_strategy(spec.strategy.name, spec.folder).in_zone(spec.data.timezone or "UTC")
    except EngineError as error:
        raise SpecError(f"{spec.path}: [strategy] name = {shown(spec.strategy.name)}: {cut(str(error))}") from None


def _code_files(spec: StudySpec, strategy: Strategy) -> list[Path]:
    """Where a backtest's code begins: strategy, objectives of the user's own, engine."""
    file, _, _ = strategy.reference.rpartition(":")
    own = [spec.folder / name.rpartition(":")[0] for name in spec.study.objectives if ".py:" in name]
    built_in = ENGINE / "strategies" / "built_in" / f"{strategy.name}.py"
    return [Path(file) if file else built_in, ENGINE / "evaluate.py", *own]


def _shown(name: str, folder: Path) -> str:
    """A file as a record names it: relative to the study's folder, so that both may move together."""
    try:
        return name if name == "engine" else Path(os.path.relpath(name, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(name).name


def _plain(parameter: Parameter) -> dict[str, Any]:
    row = parameter._asdict()
    return {**row, "choices": list(parameter.choices), "when": parameter.when.text if parameter.when else None}
