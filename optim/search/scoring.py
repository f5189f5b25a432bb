"""What a trial's cells amount to: state, values, attributes, constraints. One rule for searches and sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from engine.metrics.pooling import over_cells
from engine.strategies.raised import raised
from optim.problem.objective import Objective

DEFINED = "objective is defined"


class Judgement(NamedTuple):
    """How a trial ended."""

    state: TrialState
    values: tuple[float, ...] | None
    attrs: dict[str, Any]  # the metrics that are defined, the scores of the cells, the reason if it went wrong
    constraints: dict[str, float]  # feasible where <= 0


class Scored(NamedTuple):
    """The cells of a trial, in order, up to the one that stopped it."""

    cells: Sequence[Mapping[str, float]]
    scores: Sequence[tuple[float, ...]]  # raw, one number a goal
    error: str = ""
    undefined: str = ""


def score_cell(objective: Objective, metrics: Mapping[str, float], step: int) -> tuple[tuple[float, ...], str, str]:
    """Scores of one cell; the error of the user's own function, or why a score is undefined (both empty if neither)."""
    try:
        scores = objective.scores(metrics)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an objective of the user's own may raise anything
        return (), f"cell {step}: the objective raised {raised(error, objective.file)}", ""
    for goal, score in zip(objective.goals, scores, strict=True):
        if score != score:
            return scores, "", f"{goal.name} is undefined in cell {step} ({metrics['n_trades']:g} trades)"
    return scores, "", ""


def judge(objective: Objective, scored: Scored, *, pruned: bool = False) -> Judgement:
    """The verdict over the cells: failed, undefined, pruned or complete, and then feasible or not."""
    attrs: dict[str, Any] = {}
    constraints: dict[str, float] = {}
    state, values = TrialState.PRUNED, None
    if scored.error:
        state = TrialState.FAIL
        attrs["error"] = scored.error
    elif scored.undefined:
        attrs["infeasible"] = scored.undefined
        constraints[DEFINED] = 1.0
    elif not pruned:
        values = objective.values(scored.cells, scored.scores)
        if any(value != value for value in values):
            values = None
            attrs["infeasible"] = "the objective is undefined over all cells"
            constraints[DEFINED] = 1.0
        else:
            state = TrialState.COMPLETE
    if scored.cells:
        metrics = objective.metrics(scored.cells)
        attrs |= {name: value for name, value in metrics.items() if value == value}
        attrs["cell_values"] = [list(s) if len(s) > 1 else s[0] for s in scored.scores if all(x == x for x in s)]
        if state == TrialState.COMPLETE:
            constraints = objective.violations(metrics)
            if broken := [text for text, distance in constraints.items() if distance > 0]:
                attrs["infeasible"] = "; ".join(broken)
    return Judgement(state, values, attrs, constraints)


def feasible_value(objective: Objective, scored: Scored) -> float | None:
    """The first objective's value where `judge` finds the trial complete and feasible, else None."""
    if scored.error or scored.undefined:
        return None
    values = objective.values(scored.cells, scored.scores)
    if any(value != value for value in values):
        return None
    metrics = {
        name: over_cells(name, scored.cells, objective.aggregate)
        for constraint in objective.constraints
        for name in constraint.names
    }
    return None if any(distance > 0 for distance in objective.violations(metrics).values()) else values[0]


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial is complete and satisfies every constraint."""
    return trial.state == TrialState.COMPLETE and all(value <= 0.0 for value in trial.constraints.values())
