"""From the metrics of the cells to what Optuna is told: values, running aggregates, constraints."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from engine.metrics.catalogue import METRICS
from engine.metrics.pooling import Aggregate, combine, over_cells
from engine.strategies.neighbours import AsItIs, forget_edited
from engine.strategies.raised import raised
from optim.errors import SpecError, cut, shown
from optim.spec.expressions import Expression, parse, violation
from optim.spec.kinds import NUMBER, ExpressionError
from optim.spec.sections import Direction
from optim.spec.study import StudySpec

Metrics = Mapping[str, float]


class Goal(NamedTuple):
    """One objective: its name, its direction and how to compute it from the metrics of one cell."""

    name: str
    direction: Direction
    score: Callable[[Metrics], Any]
    metric: bool = False  # of the catalogue: it knows what it is over several cells


class Objective(NamedTuple):
    """Everything that turns cell metrics into a judgement."""

    goals: tuple[Goal, ...]
    aggregate: Aggregate
    constraints: tuple[Expression, ...]

    @property
    def file(self) -> Path:
        """Of the first objective that is a function of the user's own; no file where none is."""
        scores = [goal.score for goal in self.goals if isinstance(goal.score, FunctionType)]
        return next((Path(one.__code__.co_filename) for one in scores if one.__module__ != __name__), Path())

    def names(self) -> frozenset[str] | None:
        """The metrics that have a say; None where that cannot be known, for functions and expressions."""
        if not all(goal.metric for goal in self.goals):
            return None
        return frozenset(goal.name for goal in self.goals).union(*(c.names for c in self.constraints))

    def scores(self, metrics: Metrics) -> tuple[float, ...]:
        """The raw score of one cell for every goal; NaN where it is undefined."""
        return tuple(_number(goal.score, metrics) for goal in self.goals)

    def values(self, cells: Sequence[Metrics], scores: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        """The value over the cells judged so far, one number a goal: a metric's by its own rule, what `metrics` has.

        The scores of an expression or function are aggregated.
        """
        return tuple(
            over_cells(goal.name, cells, self.aggregate)
            if goal.metric
            else combine([score[i] for score in scores], self.aggregate, goal.direction)
            for i, goal in enumerate(self.goals)
        )

    def over(self, cells: Sequence[Metrics]) -> tuple[float, ...]:
        """The value over these cells, whatever stands in them; NaN where it is undefined."""
        return self.values(cells, [self.scores(metrics) for metrics in cells])

    def metrics(self, cells: Sequence[Metrics]) -> dict[str, float]:
        """Every metric over all cells, each by its own rule."""
        return (
            dict(cells[0]) if len(cells) == 1 else {name: over_cells(name, cells, self.aggregate) for name in METRICS}
        )

    def violations(self, metrics: Metrics) -> dict[str, float]:
        """Distance to each constraint over the metrics of the whole trial: feasible where <= 0, as Optuna has it."""
        return {constraint.text: _violated(constraint, metrics) for constraint in self.constraints}


def build_objective(spec: StudySpec) -> Objective:
    """The objective of a study; SpecError for an unknown metric, a bad expression or a direction that is missing."""
    where = f"{spec.path}: [study] objective"
    names = spec.study.objectives
    given = spec.study.direction
    directions = given if isinstance(given, list) else [given] * len(names)
    if len(directions) != len(names):
        raise SpecError(
            f"{spec.path}: [study] direction has {len(directions)} entries, but there are {len(names)} objectives"
        )
    goals = tuple(_goal(name, direction, spec, where) for name, direction in zip(names, directions, strict=True))
    texts = list(spec.evaluation.constraints)
    if spec.evaluation.min_trades:
        texts.append(f"n_trades >= {spec.evaluation.min_trades}")
    constraints = tuple(_parse(text, f"{spec.path}: [evaluation] constraints") for text in texts)
    aggregate = spec.evaluation.aggregate
    if aggregate != "worst_stress":
        return Objective(goals, aggregate, constraints)
    if not goals[0].metric:
        raise SpecError(
            f"{spec.path}: [evaluation] aggregate = 'worst_stress' judges by a metric, and the first objective is "
            f"{shown(goals[0].name)}; name a metric of docs/metrics.md, or choose mean, median or min"
        )
    return Objective(goals, "mean", constraints)  # of cells that are hardened one by one: Plan.trial_task


def _goal(name: str, direction: Direction | None, spec: StudySpec, where: str) -> Goal:
    if name in METRICS:
        return Goal(name, direction or METRICS[name].direction, lambda metrics: metrics[name], metric=True)
    if direction is None:
        _ = _function(name, spec.folder, where) if ".py:" in name else _parse(name, where)
        raise SpecError(
            f"{where} = {shown(name)}: give [study] direction = 'maximize' or 'minimize' "
            "with an expression or a function"
        )
    if ".py:" in name:
        return Goal(name.rpartition(":")[2], direction, _function(name, spec.folder, where))
    expression = _parse(name, where)
    return Goal(name, direction, lambda metrics: expression(metrics))


def _parse(text: str, where: str) -> Expression:
    try:
        return parse(text, dict.fromkeys(METRICS, NUMBER))
    except ExpressionError as error:
        raise SpecError(f"{where}: {error}") from None


def _function(reference: str, folder: Path, where: str) -> Callable[[Metrics], float]:
    source, _, name = reference.rpartition(":")
    file = (folder / source).resolve()
    if not file.is_file():
        raise SpecError(f"{where} = {shown(reference)}: no such file: {file}")
    forget_edited(file)
    loaded = importlib.util.spec_from_file_location(file.stem, file, loader=AsItIs(file.stem, str(file)))
    assert loaded is not None  # a .py file always has a loader
    assert loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    try:
        loaded.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own file may raise anything
        said = cut(raised(error, file))
        raise SpecError(f"{where} = {shown(reference)}: {file} cannot be loaded: {said}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise SpecError(f"{where} = {shown(reference)}: {file} has no function {shown(name)}")
    return function  # type: ignore[no-any-return]


def _number(score: Callable[[Metrics], float], metrics: Metrics) -> float:
    """The score, NaN where arithmetic leaves the numbers (a division by zero, the root of a negative)."""
    try:
        value = float(score(metrics))
    except (ArithmeticError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _violated(constraint: Expression, metrics: Metrics) -> float:
    if any(math.isnan(metrics[name]) for name in constraint.names):
        return 1.0
    try:
        return violation(constraint, metrics)
    except ArithmeticError:
        return 1.0
