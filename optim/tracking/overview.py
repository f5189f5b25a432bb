"""What MLflow shows of a study as a whole: its description, its metrics, the table of its trials."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from optim.tracking.charts import study_charts, trial_charts
from optim.tracking.info import StudyInfo, StudyResult
from optim.tracking.limits import fit_key
from optim.tracking.links import (
    charts_link,
    children_link,
    compare_link,
    file_link,
    image_link,
    opened_key,
    opened_link,
    run_link,
    shared_view,
    view_key,
)
from optim.tracking.rows import MetricPoint, milliseconds, trial_row
from optim.tracking.winner import HOLDOUT

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TOP = 10  # trials compared
COLUMNS = 12  # of each kind in the table
OPENED_TAG = "optim.opened"  # of a study whose hold-out is open: its first objective
CHARTED = ("max_drawdown", "n_trades")  # against the objective
CURVE = "plots/equity_curve.png"  # of a winner on one instrument
VERBS = ("show", "report", "validate", "replay")  # not `holdout`: whoever pastes all of them must not open it


def has_rank(trial: FrozenTrial) -> bool:
    """Whether a trial is completed and feasible."""
    return trial.state.name == "COMPLETE" and bool(trial.values) and not trial.user_attrs.get("infeasible")


def best_of(info: StudyInfo, trials: Iterable[FrozenTrial], n: int) -> list[FrozenTrial]:
    """The n best of the completed, feasible trials by the first objective, the best first."""
    sign = 1.0 if info.directions[0] == "minimize" else -1.0
    return heapq.nsmallest(n, filter(has_rank, trials), key=lambda trial: (sign * trial.values[0], trial.number))


def left_out(n_runs: int, n_trials: int) -> str:
    """A sentence where not every trial has a run of its own."""
    if n_runs == n_trials:
        return ""
    return f"The best {n_runs:,} of {n_trials:,} trials have a run in MLflow; reports/trials.parquet has them all"


def study_points(info: StudyInfo, trials: Sequence[FrozenTrial], end: int) -> list[MetricPoint]:
    """The parent's metrics: counts of trials by state, and the best value so far over the trial numbers."""
    counts = Counter(trial.state.name.lower() for trial in trials)
    points = [
        MetricPoint(f"trials/{state}", float(counts[state]), end, len(trials))
        for state in ("complete", "pruned", "fail")
    ]
    best: float | None = None
    minimise = info.directions[0] == "minimize"
    for trial in sorted(filter(has_rank, trials), key=lambda trial: trial.number):
        value = trial.values[0]
        if best is None or (value < best if minimise else value > best):
            best = value
            moment = milliseconds(trial.datetime_complete or info.start)
            points.append(MetricPoint(f"best/{fit_key(info.objectives[0])}", value, moment, trial.number))
    return points


def description(
    info: StudyInfo,
    experiment_id: str,
    trials: Sequence[FrozenTrial],
    result: StudyResult | None,
    run_id: str,
    best_id: str | None,
    top: Sequence[str],
    note: str = "",
) -> str:
    """The Markdown of the study's own run, `run_id`: the result, links to the best run, to all, to the `top` ones
    compared and to files, the equity curve, and the commands that go on from here.

    note: which trials have no run.
    """
    links = []
    if best_id:
        links.append(f"[best trial]({run_link(experiment_id, best_id)})")
    links.append(f"[all trials by {info.objectives[0]}]({children_link(experiment_id, info.study_id)})")
    links.append(f"[as charts]({charts_link(experiment_id, info.study_id)})")
    if len(top) > 1:
        links.append(f"[the best {len(top)} compared]({compare_link(experiment_id, top)})")
    if result and result.holdout:
        links.append(f"[against its hold-out]({opened_link(experiment_id, fit_key(info.objectives[0]))})")
    counts = Counter(trial.state.name.lower() for trial in trials)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    body = result.summary if result else "The study was interrupted; running it again resumes it."
    paragraphs = [body, f"{len(trials)} trials: {told}.{note and f' {note}.'}", " · ".join(links)]
    paragraphs += _files(experiment_id, run_id, result)
    paragraphs.append("\n".join(["```", *(f"python -m optim {verb} {info.study_file}" for verb in VERBS), "```"]))
    return "\n\n".join([*paragraphs, f"Record: `{info.storage}`"])


def _files(experiment_id: str, run_id: str, result: StudyResult | None) -> list[str]:
    """Links to what a reader opens first, and the winner's plot where there is one."""
    names = ["reports/trials.parquet", "config/study.toml"]
    if result and result.best_params_toml:
        names.insert(0, "reports/best_params.toml")
    if result and result.page:
        names.insert(0, "reports/report.html")
    links = " · ".join(f"[{name}]({file_link(experiment_id, run_id, name)})" for name in names)
    backtests = result.best if result else ()
    return [links, f"![equity curve]({image_link(run_id, CURVE)})"] if len(backtests) == 1 else [links]


def trials_view(info: StudyInfo, parent_id: str, best: Sequence[FrozenTrial]) -> tuple[str, str]:
    """The experiment's tag that holds the trials' table with this study's columns, and its value.

    best: the best trial, which has these columns; or none. MLflow hides parameters and metrics by itself.
    """
    names = [p.key for t in best for p in trial_row(info, parent_id, t).points if not p.key.startswith("cell/")]
    metrics = dict.fromkeys([*map(fit_key, info.objectives), *names][:COLUMNS])
    columns = [f"metrics.`{name}`" for name in metrics]
    columns += [f"params.`{fit_key(name)}`" for trial in best for name in list(trial.params)[:COLUMNS]]
    objective, minimise = fit_key(info.objectives[0]), info.directions[0] == "minimize"
    where = f"tags.`mlflow.parentRunId` = '{parent_id}' and tags.`optim.role` = 'trial'"
    params = [fit_key(name) for trial in best for name in list(trial.params)[:COLUMNS]]
    charts = trial_charts(objective, params, [name for name in CHARTED if name in metrics])
    return shared_view(view_key(info.study_id), where, objective, columns, charts, ascending=minimise)


def opened_view(info: StudyInfo) -> tuple[str, str]:
    """The experiment's tag that holds the view of its studies with an open hold-out, and its value."""
    objective = fit_key(info.objectives[0])
    best, opened = f"best/{objective}", fit_key(f"{HOLDOUT}{objective}")
    columns = [f"metrics.`{name}`" for name in (best, opened)]
    where = f"tags.`optim.role` = 'study' and tags.`{OPENED_TAG}` = '{objective}'"
    minimise = info.directions[0] == "minimize"
    return shared_view(opened_key(objective), where, opened, columns, study_charts(best, opened), ascending=minimise)
