"""Many runs in one transaction, through MLflow's own SQLAlchemy models.

MLflow has no public call for it: one child run through its client takes seven commits. What this writes is held
against the public API row by row (tests/tracking/test_conformance.py) and so used only with the versions tested.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Sequence
from typing import Any

import mlflow
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import insert

from optim.tracking.rows import Point, RunRow
from optim.tracking.settings import TESTED_MLFLOW


def usable(store: Any) -> bool:
    """Whether `store` is a database and this MLflow is one the bulk path is tested with."""
    return type(store) is SqlAlchemyStore and mlflow.__version__.startswith(TESTED_MLFLOW)


def insert_runs(store: SqlAlchemyStore, experiment: Any, rows: Sequence[RunRow]) -> list[str]:
    """Write finished runs, all or none; their ids in order."""
    ids = [uuid.uuid4().hex for _ in rows]
    runs = [_run(run_id, experiment, row) for run_id, row in zip(ids, rows, strict=True)]
    params, tags, metrics, latest = [], [], [], []
    for run_id, row in zip(ids, rows, strict=True):
        params += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.params.items()]
        tags += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.tags.items()]
        points = [_metric(run_id, point) for point in dict.fromkeys(row.points)]
        metrics += points
        latest += _latest(points)
    with store.ManagedSessionMaker(read_only=False) as session:
        for model, values in (
            (models.SqlRun, runs),
            (models.SqlParam, params),
            (models.SqlTag, tags),
            (models.SqlMetric, metrics),
            (models.SqlLatestMetric, latest),
        ):
            if values:
                session.execute(insert(model.__table__), values)
    return ids


def _run(run_id: str, experiment: Any, row: RunRow) -> dict[str, Any]:
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
        "artifact_uri": append_to_uri_path(experiment.artifact_location, run_id, "artifacts"),
        "experiment_id": int(experiment.experiment_id),
    }


def _metric(run_id: str, point: Point) -> dict[str, Any]:
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


def _latest(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per key the value MLflow shows: the greatest by (step, timestamp, value)."""
    best: dict[str, dict[str, Any]] = {}
    for point in points:
        known = best.get(point["key"])
        if known is None or _order(point) > _order(known):
            best[point["key"]] = point
    return list(best.values())


def _order(point: dict[str, Any]) -> tuple[int, int, float]:
    return point["step"], point["timestamp"], point["value"]
