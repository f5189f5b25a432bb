"""The search: its history, which parameters mattered, the score along each and over two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from engine.report.drawn import thinned
from optim.errors import counted, value_text
from optim.problem.plan import Plan
from optim.report.console import score_text
from optim.report.html.values import (
    Axis,
    Block,
    Chart,
    Field,
    Floats,
    History,
    Missing,
    Section,
    Shares,
    Slices,
    Table,
    Value,
    row,
    sampled,
)
from optim.report.summary import Summary
from optim.search.scoring import is_feasible
from optim.spec.space import Parameter

_MOST_AXES, _MOST_PRUNED, _MOST_TOP = 9, 600, 12
_FEWEST = 4  # complete trials for a picture of a parameter


def search_section(plan: Plan, trials: Sequence[FrozenTrial], summary: Summary, reasons: Mapping[str, int]) -> Section:
    """How the search went, and its best trials. reasons: why trials failed or were infeasible, with how many."""
    counts = summary.counts
    ended = sum(counts[kind] for kind in ("complete", "pruned", "failed"))
    blocks: list[Block] = [
        f"{counted(ended, 'trial')}: {counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} "
        f"failed; {counts['infeasible']} infeasible."
    ]
    complete = _complete(trials)
    if complete:
        caption = f"Every complete trial by its number, the best so far, the winner ringed ({_better(summary)})."
        blocks.append(Chart(_history(trials, complete, summary), caption))
    else:
        blocks.append(Missing("No trial is complete."))
    if summary.top:
        blocks.append(_top(summary))
    if reasons:
        rows = tuple(row(reason, Value(str(number), number)) for reason, number in reasons.items())
        blocks.append(Table(("why trials failed or were infeasible", "trials"), rows, kind="facts"))
    return Section("search", "The search", tuple(blocks))


def parameters_section(
    plan: Plan, trials: Sequence[FrozenTrial], summary: Summary, verdict: Mapping[str, Any] | None
) -> Section:
    """Which parameters mattered, and whether the winner stands on a plateau."""
    title, complete = "The parameters", _complete(trials)
    if len(complete) < _FEWEST:
        return Section("parameters", title, (Missing(f"Fewer than {_FEWEST} complete trials: nothing to compare."),))
    weights = importances(plan, complete)
    known = {p.name: p for p in plan.space.parameters}
    order = sorted(known, key=lambda name: -weights.get(name, 0.0))[:_MOST_AXES]
    blocks: list[Block] = []
    if len(weights) > 1:
        names = [name for name in order if name in weights]
        drawing = Shares(tuple(names), tuple(weights[name] for name in names))
        blocks.append(
            Chart(drawing, "How much of the difference between good and other trials each makes (PED-ANOVA).")
        )
    drawn = [known[name] for name in order if sum(name in trial.params for trial in complete) >= _FEWEST]
    if drawn:
        blocks.append(Chart(_slices(drawn, complete, summary, verdict), _slices_caption(summary, verdict)))
    own = drawn if summary.best is None else [one for one in drawn if one.name in summary.best.params]
    if len(own) > 1 and (field := _field(own[0], own[1], complete, summary)) is not None:
        text = (
            "The complete trials over the winner's two weightiest parameters, the better the larger; the winner ringed."
        )
        blocks.append(Chart(field, text))
    kept = ((verdict or {}).get("plateau") or {}).get("kept")
    if kept is not None:
        blocks.append(
            f"Next to the winner, one parameter moved a little, the median trial keeps {kept:.0%} of its score."
        )
    return Section("parameters", title, tuple(blocks))


def importances(plan: Plan, complete: Sequence[FrozenTrial]) -> dict[str, float]:
    """Optuna's importance of each parameter for the first objective; none where it cannot be had."""
    import optuna

    from optim.record.memory_storage import WholeStorage
    from optim.record.quiet import no_warnings

    directions = [goal.direction for goal in plan.objective.goals]
    sign = -1.0 if directions[0] == "maximize" else 1.0
    study = optuna.create_study(storage=WholeStorage(complete), directions=directions)
    with no_warnings():
        try:
            found = optuna.importance.get_param_importances(study, target=lambda trial: sign * trial.values[0])
        except (ValueError, RuntimeError):  # too few, or all alike
            return {}
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


def _complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE and math.isfinite(trial.values[0])]


def _better(summary: Summary) -> str:
    return "more is better" if summary.directions[0] == "maximize" else "less is better"


def _history(trials: Sequence[FrozenTrial], complete: Sequence[FrozenTrial], summary: Summary) -> History:
    numbers = np.array([trial.number for trial in complete])
    scores = np.array([trial.values[0] for trial in complete])
    maximise = summary.directions[0] == "maximize"
    usable = np.where([is_feasible(trial) for trial in complete], scores, -np.inf if maximise else np.inf)
    best = np.maximum.accumulate(usable) if maximise else np.minimum.accumulate(usable)
    best = np.where(np.isfinite(best), best, np.nan)
    kept = np.union1d(sampled(scores, maximise), thinned(np.nan_to_num(best), most=200))
    pruned = np.array([trial.number for trial in trials if trial.state == TrialState.PRUNED], dtype=int)
    pruned = pruned[:: -(-len(pruned) // _MOST_PRUNED) or 1]
    winner = None if summary.best is None else (summary.best.number, summary.best.values[0])
    return History(numbers[kept], scores[kept], best[kept], pruned, winner, summary.objectives[0])


def _top(summary: Summary) -> Table:
    shown = summary.top[:_MOST_TOP]
    names = list(dict.fromkeys(name for trial in shown for name in trial.params))
    rows = [
        row(
            str(trial.number),
            *(
                Value(score_text(name, value, summary.cell_days).replace("-", "−"), value)
                for name, value in zip(summary.objectives, trial.values, strict=True)
            ),
            *(value_text(trial.params.get(name, "–")) for name in names),
        )
        for trial in shown
    ]
    one = len(summary.objectives) == 1
    caption = "The best trials" if one else f"The Pareto front: {len(shown)} of {counted(len(summary.top), 'trial')}"
    return Table(("trial", *summary.objectives, *names), tuple(rows), caption)


def _slices(
    parameters: Sequence[Parameter],
    complete: Sequence[FrozenTrial],
    summary: Summary,
    verdict: Mapping[str, Any] | None,
) -> Slices:
    moved = ((verdict or {}).get("plateau") or {}).get("neighbours", ())
    axes, scores, neighbours = [], [], []
    for parameter in parameters:
        having = [trial for trial in complete if parameter.name in trial.params]
        values = np.array([trial.values[0] for trial in having])
        kept = sampled(values, summary.directions[0] == "maximize", 400)
        axes.append(_axis(parameter, [having[i] for i in kept], summary))
        scores.append(values[kept])
        near = [one for one in moved if one["parameter"] == parameter.name and one["score"] is not None]
        there = _places(parameter, [one["value"] for one in near])
        neighbours.append((there, np.array([one["score"] for one in near], dtype=float)))
    winner = math.nan if summary.best is None else summary.best.values[0]
    return Slices(tuple(axes), tuple(scores), winner, tuple(neighbours), summary.objectives[0])


def _slices_caption(summary: Summary, verdict: Mapping[str, Any] | None) -> str:
    text = f"{summary.objectives[0]} of the complete trials along each parameter; the winner ringed"
    return f"{text}, its neighbours as diamonds." if (verdict or {}).get("plateau") else f"{text}."


def _field(one: Parameter, two: Parameter, complete: Sequence[FrozenTrial], summary: Summary) -> Field | None:
    both = [trial for trial in complete if one.name in trial.params and two.name in trial.params]
    if len(both) < _FEWEST:
        return None
    scores, maximise = np.array([trial.values[0] for trial in both]), summary.directions[0] == "maximize"
    kept = sampled(scores, maximise)
    shown = [both[i] for i in kept]
    return Field(_axis(one, shown, summary), _axis(two, shown, summary), scores[kept], summary.objectives[0], maximise)


def _axis(parameter: Parameter, trials: Sequence[FrozenTrial], summary: Summary) -> Axis:
    own = {} if summary.best is None else summary.best.params
    winner = _places(parameter, [own[parameter.name]])[0] if parameter.name in own else math.nan
    places = _places(parameter, [trial.params[parameter.name] for trial in trials])
    return Axis(parameter.name, places, tuple(map(str, parameter.choices)), parameter.log, float(winner))


def _places(parameter: Parameter, values: Sequence[Any]) -> Floats:
    if parameter.choices:
        return np.array([parameter.choices.index(value) for value in values], dtype=float)
    return np.array(values, dtype=float)
