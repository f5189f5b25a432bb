"""A run as the rows of MLflow's tables: what every way of writing a database by hand writes. Imports no MLflow."""

from __future__ import annotations

import hashlib
import math
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from optim.tracking.rows import STUDY_TAG, TRIAL_TAG, MetricPoint, RunRow

PARTS = ("params", "tags", "metrics", "latest_metrics")  # the tables that refer to `runs`


def run_id_of(experiment: Any, row: RunRow) -> str:
    """The id of a trial's or study's run: the same in one experiment always, so that it cannot be there twice.

    Another in every other experiment and store: MLflow's client remembers where the files of a run id lie.
    """
    if STUDY_TAG not in row.tags:
        return uuid.uuid4().hex
    place = (str(experiment.experiment_id), str(experiment.creation_time), str(experiment.artifact_location))
    parts = (*place, row.tags[STUDY_TAG], row.tags.get(TRIAL_TAG, "study"))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def rows_of(
    experiment: Any, runs: Sequence[tuple[str, RunRow]], below: Callable[[str, str, str], str]
) -> dict[str, list[dict[str, Any]]]:
    """Table -> its rows, the table that the others refer to first. `below` appends to the experiment's location."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("runs", *PARTS)}
    for run_id, row in runs:
        tables["runs"].append(_run(run_id, experiment, row, below(experiment.artifact_location, run_id, "artifacts")))
        tables["params"] += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.params.items()]
        tables["tags"] += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.tags.items()]
        points = [metric(run_id, point) for point in dict.fromkeys(row.points)]
        tables["metrics"] += points
        tables["latest_metrics"] += latest(points)
    return tables


def _run(run_id: str, experiment: Any, row: RunRow, artifact_uri: str) -> dict[str, Any]:
    return {
        "run_uuid": run_id,
        "name": row.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "user_id": row.tags.get("mlflow.user", "unknown"),
        "status": row.status,
        "start_time": row.start,
        "end_time": row.end,
        "deleted_time": None,
        "lifecycle_stage": "active",
        "artifact_uri": artifact_uri,
        "experiment_id": int(experiment.experiment_id),
    }


def metric(run_id: str, point: MetricPoint) -> dict[str, Any]:
    """A database keeps NaN as a flagged 0 and infinity as the largest float (SqlAlchemyStore.sanitize_metric_value)."""
    value, is_nan = point.value, math.isnan(point.value)
    if is_nan:
        value = 0.0
    elif math.isinf(value):
        value = math.copysign(sys.float_info.max, value)
    return {
        "run_uuid": run_id,
        "key": point.key,
        "value": value,
        "timestamp": int(point.timestamp),
        "step": int(point.step),
        "is_nan": is_nan,
    }


def latest(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per key the value MLflow shows: the greatest by (step, timestamp, value)."""
    best: dict[str, dict[str, Any]] = {}
    for point in points:
        known = best.get(point["key"])
        if known is None or _order(point) > _order(known):
            best[point["key"]] = point
    return list(best.values())


def _order(point: dict[str, Any]) -> tuple[int, int, float]:
    return point["step"], point["timestamp"], point["value"]
