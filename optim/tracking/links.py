"""Links into MLflow's web page, relative to its root (the page's router lives behind the `#`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_TABLE = "workflowType=machine_learning"  # without it an experiment opens in the view for language models, empty for us


def run_link(experiment_id: str, run_id: str) -> str:
    return f"#/experiments/{experiment_id}/runs/{run_id}?{_TABLE}"


def file_link(experiment_id: str, run_id: str, path: str) -> str:
    """An artifact's preview on its run's page."""
    return run_link(experiment_id, run_id).replace("?", f"/artifacts/{quote(path)}?")


def image_link(run_id: str, path: str) -> str:
    """An artifact's bytes."""
    return f"get-artifact?path={quote(path, safe='')}&run_uuid={run_id}"


def study_link(experiment_id: str) -> str:
    """The run table, children nested under their parents."""
    return f"#/experiments/{experiment_id}/runs?{_TABLE}"


def children_link(experiment_id: str, study_id: str) -> str:
    """One study's trials, the best first, with its columns: the view that `shared_view` describes."""
    return f"{study_link(experiment_id)}&viewStateShareKey={view_key(study_id)}"


def charts_link(experiment_id: str, study_id: str) -> str:
    """The same trials as charts."""
    return f"{children_link(experiment_id, study_id)}&compareRunsMode=CHART"


def opened_link(experiment_id: str, objective: str) -> str:
    """The experiment's studies whose hold-out is open, as a chart."""
    return f"{study_link(experiment_id)}&viewStateShareKey={opened_key(objective)}&compareRunsMode=CHART"


def view_key(study_id: str) -> str:
    return f"optim-{study_id}"


def opened_key(objective: str) -> str:
    return f"optim-opened-{quote(objective, safe='')}"


def shared_view(
    key: str, where: str, objective: str, columns: Sequence[str], charts: Mapping[str, Any], *, ascending: bool
) -> tuple[str, str]:
    """The experiment's tag, and its value, that make MLflow show a filter, an order, columns and charts for a link.

    `columns` are MLflow's column names such as metrics.`sharpe_ratio`, `charts` of optim.tracking.charts. The page
    takes them from nowhere else, and nothing from the tag once its address holds a filter or an order of its own
    (MLflow 3.17, runs page).
    """
    state = {
        "searchFilter": where,
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        **charts,
    }
    return f"mlflow.sharedViewState.{key}", json.dumps(state)


def compare_link(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The comparison page (parallel coordinates) of some runs."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
    return f"#/compare-runs?runs={runs}&experiments={quote(json.dumps([experiment_id]), safe='')}"
