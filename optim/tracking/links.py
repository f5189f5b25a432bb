"""Links into MLflow's web page, relative to its root (the page's router lives behind the `#`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def view_key(study_id: str) -> str:
    return f"optim-{study_id}"


def shared_view(parent_run_id: str, objective: str, columns: Sequence[str], *, ascending: bool) -> tuple[str, str]:
    """Prefix of the experiment tag, and its value, that make MLflow show a filter, an order and columns for a link.

    `columns` are MLflow's column names such as metrics.`sharpe_ratio`. The page takes them from nowhere else, and takes
    nothing from the tag once its address holds a filter or an order of its own (MLflow 3.17, runs page).
    """
    state = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent_run_id}' and tags.`optim.role` = 'trial'",
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
    }
    return "mlflow.sharedViewState.", json.dumps(state)


def compare_link(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The comparison page (parallel coordinates) of some runs."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
    return f"#/compare-runs?runs={runs}&experiments={quote(json.dumps([experiment_id]), safe='')}"
