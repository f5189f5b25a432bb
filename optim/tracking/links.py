"""Links into MLflow's web page, relative to its root (the page's router lives behind the `#`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

_TABLE = "workflowType=machine_learning"  # without it an experiment opens in the view for language models, empty for us


def run_link(experiment_id: str, run_id: str) -> str:
    return f"#/experiments/{experiment_id}/runs/{run_id}"


def study_link(experiment_id: str) -> str:
    """The run table, children nested under their parents."""
    return f"#/experiments/{experiment_id}/runs?{_TABLE}"


def children_link(experiment_id: str, parent_run_id: str, objective: str, *, ascending: bool) -> str:
    """One study's trials, the best first."""
    search = quote(f"tags.`mlflow.parentRunId` = '{parent_run_id}'", safe="")
    order = quote(f"metrics.`{objective}`", safe="")
    return f"{study_link(experiment_id)}&searchFilter={search}&orderByKey={order}&orderByAsc={str(ascending).lower()}"


def compare_link(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The comparison page (parallel coordinates) of some runs."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
    return f"#/compare-runs?runs={runs}&experiments={quote(json.dumps([experiment_id]), safe='')}"
