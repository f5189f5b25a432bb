"""The trials of a record that a reader asks for: by a condition, in an order, or one of them with all that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.metrics.catalogue import IN_BRACKETS, METRICS, SHORT_DAYS, bracketed, metric_text
from optim.errors import SpecError, counted, shown, value_text
from optim.problem.plan import Plan
from optim.report.chart import line_of
from optim.report.console import score_text
from optim.report.showcase import Window
from optim.search.ranking import rank, ranked
from optim.spec.expressions import Expression, parse, suggestion
from optim.spec.kinds import NUMBER, TEXT, ExpressionError, Kinds, kinds_of
from optim.verdict.finite import finite

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Query(NamedTuple):
    """What is asked of the trials."""

    where: str | None = None  # an expression over names_of
    sort: str | None = None  # one of them; by the objective when None
    top: int = 20


def state_of(trial: FrozenTrial) -> str:
    """How it ended, in a word: complete, infeasible, pruned or failed; a pruned one may be infeasible."""
    return "infeasible" if "infeasible" in trial.user_attrs else _STATES.get(trial.state, "running")


def names_of(plan: Plan) -> dict[str, Kinds]:
    """What a condition may name: trial, state, objectives, metrics, parameters; and whether numbers or texts."""
    fixed = {name: kinds_of([value]) for name, value in plan.spec.strategy.fixed.items()}
    searched = {parameter.name: parameter.kinds() for parameter in plan.space.parameters}
    goals = [goal.name for goal in plan.objective.goals]
    return {**fixed, **searched, **dict.fromkeys([*METRICS, *goals, "trial"], NUMBER), "state": TEXT}


def values_of(plan: Plan, trial: FrozenTrial) -> dict[str, Any]:
    """Their values for one trial, those that it has."""
    goals = zip((goal.name for goal in plan.objective.goals), trial.values or (), strict=False)
    metrics = {name: trial.user_attrs[name] for name in METRICS if name in trial.user_attrs}
    own = {"trial": trial.number, "state": state_of(trial)}
    return {**plan.spec.strategy.fixed, **trial.params, **metrics, **dict(goals), **own}


def select(plan: Plan, trials: Sequence[FrozenTrial], query: Query) -> tuple[FrozenTrial, ...]:
    """The trials for which the condition holds, the best first.

    Feasible complete ones, unless the condition names `state`. A trial without a value that is named is left out, and
    comes last where it is sorted by. Raises SpecError.
    """
    if query.top < 1:
        raise SpecError(f"--top {query.top}: must be at least 1")
    condition, sort = _condition(plan, query.where), _sort(plan, query.sort)
    if condition is not None and "state" in condition.names:
        found = sorted(
            trials, key=lambda trial: _key(values_of(plan, trial), *_sort(plan, plan.objective.goals[0].name))
        )
    elif len(plan.objective.goals) > 1:
        found = list(rank(trials, [goal.direction for goal in plan.objective.goals]))
    else:
        found = list(ranked(plan, trials))
    if condition is not None:
        found = [trial for trial in found if _holds(condition, values_of(plan, trial))]
    if query.sort is not None:
        found.sort(key=lambda trial: _key(values_of(plan, trial), *sort))
    return tuple(found[: query.top])


def _condition(plan: Plan, text: str | None) -> Expression | None:
    try:
        return None if text is None else parse(text, names_of(plan))
    except ExpressionError as error:
        raise SpecError(f"--where: {error}") from None


def _sort(plan: Plan, name: str | None) -> tuple[str, bool]:
    """The name to sort by, and whether larger is better; parameters ascend."""
    goals = {goal.name: goal.direction for goal in plan.objective.goals}
    if name is not None and name not in (known := names_of(plan)):
        raise SpecError(f"--sort {shown(name)}: no such objective, metric or parameter{suggestion(name, known)}")
    direction = goals.get(name or "", METRICS[name].direction if name in METRICS else "minimize")
    return name or "", direction == "maximize"


def _key(values: Mapping[str, Any], name: str, larger_first: bool) -> tuple[Any, ...]:
    value = values.get(name)
    if value is None or value != value:
        return (2, 0, values["trial"])
    if isinstance(value, str):
        return (1, value, values["trial"])
    return (0, -value if larger_first else value, values["trial"])


def _holds(condition: Expression, values: Mapping[str, Any]) -> bool:
    try:
        return bool(condition(values))
    except (KeyError, ArithmeticError):  # this trial has no such value
        return False


def print_trials(console: Console, plan: Plan, found: Sequence[FrozenTrial], query: Query) -> None:
    """One row a trial: its number, the objectives, what was asked about, its parameters."""
    if not found:
        console.print("No such trial.")
        return
    asked = _condition(plan, query.where)
    named = [*([query.sort] if query.sort else []), *sorted(asked.names if asked else ())]
    goals = [goal.name for goal in plan.objective.goals]
    params = dict.fromkeys(name for trial in found for name in trial.params)
    columns = [*dict.fromkeys(["trial", *goals, *named, *params])]
    table = Table(title=counted(len(found), "trial").capitalize(), title_justify="left")
    for name in columns:
        table.add_column(escape(name), justify="right", overflow="fold")
    days = plan.days(plan.cells)
    for trial in found:
        values = values_of(plan, trial)
        table.add_row(*(escape(_text(name, values.get(name), goals, days)) for name in columns))
    console.print(table)
    _print_brackets(console, days)


def print_trial(console: Console, plan: Plan, trial: FrozenTrial, window: Window | None) -> None:
    """One trial: how it ended, parameters, metrics over its cells and in one run, its equity."""
    told = as_object(plan, trial, window)
    lines = [f"{plan.spec.study.name}, trial {trial.number}: {told['state']}"]
    lines += [f"  {told['reason']}"] if told["reason"] else []
    days = plan.days(plan.cells)
    lines += [f"  {name} {bracketed(name, f'{value:.6g}', days)}" for name, value in told["values"].items()]
    lines += [f"  {told['started']}, {told['seconds']:.3g} s"] if told["seconds"] is not None else []
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    table = Table(title="Parameters", title_justify="left", show_header=False)
    for name, value in told["params"].items():
        table.add_row(escape(name), escape(value_text(value)))
    console.print(table)
    if trial.state == TrialState.COMPLETE or told["metrics"]:
        _print_metrics(console, trial, days, window)
    for one in window.backtests if window else ():
        title = f"Equity of {one.instrument}, {one.equity.min():,.0f} to {one.equity.max():,.0f}"
        console.print(f"{title}\n{line_of(one.equity.to_numpy())}", highlight=False, markup=False)
    if window and window.error:
        console.print(f"searched bars in one run: {window.error}", highlight=False, markup=False, soft_wrap=True)


def _print_metrics(console: Console, trial: FrozenTrial, days: float, window: Window | None) -> None:
    partial = "" if trial.state == TrialState.COMPLETE else f"\nfirst {len(trial.user_attrs.get('cell_values', ()))}"
    table = Table(title="Metrics", title_justify="left")
    table.add_column("metric")
    table.add_column(f"over its cells{partial}", justify="right")
    table.add_column("in one run", justify="right")
    for name in METRICS:
        whole = window.metrics.get(name) if window else None
        in_one_run = metric_text(name, whole, window.days if window else days)
        table.add_row(name, metric_text(name, trial.user_attrs.get(name), days), in_one_run)
    console.print(table)
    _print_brackets(console, min(days, window.days if window else days))


def _print_brackets(console: Console, days: float) -> None:
    if days < SHORT_DAYS:
        console.print(f"({IN_BRACKETS})", highlight=False, markup=False)


def as_object(plan: Plan, trial: FrozenTrial, window: Window | None = None) -> dict[str, Any]:
    """A trial as plain data; what is undefined is null."""
    goals = [goal.name for goal in plan.objective.goals]
    attrs, took = trial.user_attrs, trial.duration
    told: dict[str, Any] = {
        "number": trial.number,
        "state": state_of(trial),
        "reason": attrs.get("error") or attrs.get("infeasible"),
        "values": dict(zip(goals, trial.values or (), strict=False)),
        "params": trial.params,
        "metrics": {name: attrs[name] for name in METRICS if name in attrs},
        "cell_values": list(attrs.get("cell_values", ())),
        "started": trial.datetime_start.isoformat(sep=" ", timespec="seconds") if trial.datetime_start else None,
        "seconds": None if took is None else took.total_seconds(),
    }
    return dict(finite(told if window is None else {**told, "searched": dict(window.metrics)}))


def _text(name: str, value: Any, goals: Sequence[str], days: float) -> str:
    if value is None or isinstance(value, str | bool):
        return "–" if value is None else str(value)
    if name in goals:
        return score_text(name, value, days)
    return metric_text(name, value, days) if name in METRICS else value_text(value)
