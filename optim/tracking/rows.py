"""A trial as an MLflow run: pure functions from the record to plain data, without MLflow."""

from __future__ import annotations

import functools
import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from optim.tracking.info import LiveTrial, StudyInfo
from optim.tracking.limits import MAX_PARAM, MAX_TAG, fit_key, fit_metrics, fit_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
STUDY_TAG = "optim.study_id"
TRIAL_TAG = "optim.trial"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # Markdown: a run's description
FILTERED = ("strategy",)  # what all trials share and is asked for across studies: on every trial's run too
NAME_LIMIT = 250


class MetricPoint(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp: int  # ms since the epoch
    step: int


class RunRow(NamedTuple):
    """Everything MLflow is told about one run."""

    name: str
    status: str
    start: int  # ms since the epoch
    end: int | None
    params: dict[str, str]
    points: tuple[MetricPoint, ...]
    tags: dict[str, str]
    overflow: dict[str, Any]  # what MLflow's limits changed, in full


class Child(NamedTuple):
    """A trial's run as MLflow lists it."""

    number: int
    run_id: str
    parent_id: str | None
    status: str


def milliseconds(moment: datetime) -> int:
    """Of a naive local or an aware date-time."""
    return round(moment.timestamp() * 1000)


def short_names(key_params: Sequence[str]) -> dict[str, str]:
    """`fast_window` -> `fast`, where no other key parameter shortens to the same."""
    cut = {name: name.split("_")[0] or name for name in key_params}
    return {name: short if list(cut.values()).count(short) == 1 else name for name, short in cut.items()}


def run_name(number: int, params: Mapping[str, Any], key_params: Sequence[str]) -> str:
    """`trial_0042_fast20_slow50`."""
    parts = [f"trial_{number:04d}"]
    for name, short in short_names(key_params).items():
        if name in params:
            value = params[name]
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            parts.append(f"{short}{text}" if text[0] in "-0123456789" else f"{short}-{text}")
    return "_".join(parts)[:NAME_LIMIT]


def parent_row(info: StudyInfo) -> RunRow:
    """The study itself, running."""
    params, changed = fit_text(info.params, MAX_PARAM)
    tags, changed_tags = fit_text(info.tags, MAX_TAG)
    tags |= source_tags(info) | {"mlflow.runName": info.name[:NAME_LIMIT], "optim.role": "study"}
    overflow = _overflow(params=changed, tags=changed_tags)
    return RunRow(tags["mlflow.runName"], "RUNNING", milliseconds(info.start), None, params, (), tags, overflow)


def trial_row(info: StudyInfo, parent_run_id: str, trial: FrozenTrial) -> RunRow:
    """A finished trial as a child run."""
    start = milliseconds(trial.datetime_start or trial.datetime_complete or info.start)
    end = milliseconds(trial.datetime_complete or trial.datetime_start or info.start)
    notes = {name: str(trial.user_attrs[name]) for name in ("error", "infeasible") if trial.user_attrs.get(name)}
    cells = trial.user_attrs.get("cell_values", ())
    notes |= {"optim.state": trial.state.name, "optim.cells": str(len(cells))} | _feasibility(trial)
    if trial.state.name == "FAIL":
        notes.setdefault("error", "the trial failed without a reason")
    row = _child(info, parent_run_id, LiveTrial(trial.number, trial.params, info.start, ()), notes)
    metrics, changed = fit_metrics(_metrics(info, trial))
    odd = {key: value for key, value in changed.items() if key in metrics}
    if odd:  # NaN and infinities, as MLflow's databases cannot keep them
        row.tags["optim.not_finite"] = ", ".join(f"{key}={value}" for key, value in odd.items())[:MAX_TAG]
    points = tuple(MetricPoint(key, value, end, 0) for key, value in metrics.items())
    points += cell_points(info, cells, end)
    overflow = row.overflow | _overflow(metrics={k: v for k, v in changed.items() if k not in odd})
    return row._replace(status=STATUS[trial.state.name], start=start, end=end, points=points, overflow=overflow)


def live_row(info: StudyInfo, parent_run_id: str, live: LiveTrial, now: int) -> RunRow:
    """A trial that is still running, with the cells it has finished."""
    row = _child(info, parent_run_id, live, {"optim.state": "RUNNING"})
    return row._replace(start=milliseconds(live.start), points=cell_points(info, live.values, now))


def cell_points(info: StudyInfo, values: Sequence[Any], timestamp: int) -> tuple[MetricPoint, ...]:
    """`cell/<objective>` with the cells as steps; a multi-objective cell holds one value per objective."""
    points = []
    for step, cell in enumerate(values):
        per_objective = cell if isinstance(cell, list | tuple) else [cell]
        for objective, value in zip(info.objectives, per_objective, strict=False):
            if value is not None:
                points.append(MetricPoint(f"cell/{fit_key(objective)}", float(value), timestamp, step))
    return tuple(points)


def _child(info: StudyInfo, parent_run_id: str, trial: LiveTrial, notes: Mapping[str, str]) -> RunRow:
    common, _ = fit_text({key: info.params[key] for key in FILTERED if key in info.params}, MAX_PARAM)
    own, changed = fit_text(trial.params, MAX_PARAM)
    tags, _ = fit_text(info.tags, MAX_TAG)
    fitted, changed_notes = fit_text(notes, MAX_TAG)
    name = run_name(trial.number, trial.params, info.key_params)
    tags |= fitted | source_tags(info)
    tags |= {PARENT_TAG: parent_run_id, "mlflow.runName": name, "optim.role": "trial", TRIAL_TAG: str(trial.number)}
    tags[NOTE_TAG] = commands(info, trial.number)
    return RunRow(name, "RUNNING", 0, None, common | own, (), tags, _overflow(params=changed, tags=changed_notes))


def commands(info: StudyInfo, number: int) -> str:
    """How to see a trial again, in a line of Markdown."""
    given = f"{info.study_file} --trial {number}"
    return f"`python -m optim replay {given}` proves every digit, `python -m optim backtest {given}` shows the trades."


def _metrics(info: StudyInfo, trial: FrozenTrial) -> dict[str, float]:
    attributes = trial.user_attrs.items()
    metrics = {k: float(v) for k, v in attributes if isinstance(v, Real) and not isinstance(v, bool)}
    if trial.state.name != "COMPLETE":  # over fewer cells: not to be sorted and compared with whole ones
        return {f"partial/{name}": value for name, value in metrics.items()}
    for objective, value in zip(info.objectives, trial.values or (), strict=False):
        if metrics.setdefault(objective, value) != value:
            metrics[f"objective/{objective}"] = value
    return metrics


def source_tags(info: StudyInfo) -> dict[str, str]:
    """Whose run it is: study, user, program, commit."""
    tags = {
        STUDY_TAG: info.study_id,
        "mlflow.user": user_name(),
        "mlflow.source.name": "optim",
        "mlflow.source.type": "LOCAL",
    }
    if commit := info.params.get("commit_sha"):
        tags["mlflow.source.git.commit"] = str(commit)
    return tags


@functools.cache
def user_name() -> str:
    """Who runs this, for MLflow's User column."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "unknown"


def _feasibility(trial: FrozenTrial) -> dict[str, str]:
    """Nothing is said of a trial that was pruned or failed before its constraints could be asked."""
    if trial.user_attrs.get("infeasible"):
        return {"optim.feasible": "false"}
    return {"optim.feasible": "true"} if trial.state.name == "COMPLETE" else {}


def _overflow(**parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(part) for name, part in parts.items() if part}
