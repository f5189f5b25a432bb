"""Many runs in one transaction, through MLflow's own SQLAlchemy models.

MLflow has no public call for it: one child run through its client takes seven commits. What this writes is held
against the public API row by row (tests/tracking/test_conformance.py) and so used only with the versions tested.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import aliased

from optim.tracking.rows import PARENT_TAG, STUDY_TAG, TRIAL_TAG, Child, MetricPoint, RunRow


def usable(store: Any) -> bool:
    """Whether `store` is a database."""
    return type(store) is SqlAlchemyStore


def insert_runs(store: SqlAlchemyStore, experiment: Any, rows: Sequence[RunRow]) -> list[str]:
    """Write runs, all or none; their ids in order. One that is there already, written by another process, stays; one
    that was deleted in MLflow is replaced.
    """
    ids = [run_id_of(experiment, row) for row in rows]
    with store.ManagedSessionMaker(read_only=False) as session:
        stage: Any = models.SqlRun.lifecycle_stage
        known = dict(
            session.execute(select(models.SqlRun.run_uuid, stage).where(models.SqlRun.run_uuid.in_(ids))).all()
        )
        deleted = [run_id for run_id, life in known.items() if life != "active"]
        if deleted:
            for model in (*_PARTS, models.SqlRun):
                session.execute(delete(model.__table__).where(model.__table__.c.run_uuid.in_(deleted)))
        new = [(run_id, row) for run_id, row in zip(ids, rows, strict=True) if known.get(run_id) != "active"]
        for model, values in _tables(experiment, new):
            if values:
                session.execute(insert(model.__table__), values)
    return ids


def run_id_of(experiment: Any, row: RunRow) -> str:
    """The id of a trial's or study's run: the same in one experiment always, so that it cannot be there twice.

    Another in every other experiment and store: MLflow's client remembers where the files of a run id lie.
    """
    if STUDY_TAG not in row.tags:
        return uuid.uuid4().hex
    place = (str(experiment.experiment_id), str(experiment.creation_time), str(experiment.artifact_location))
    parts = (*place, row.tags[STUDY_TAG], row.tags.get(TRIAL_TAG, "study"))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def children(store: SqlAlchemyStore, experiment: Any, study_id: str) -> list[Child]:
    """The active child runs of a study, from three columns instead of all that MLflow knows of them."""
    study, trial, parent = (aliased(models.SqlTag) for _ in range(3))
    run = models.SqlRun
    query: Any = (
        select(trial.value, run.run_uuid, parent.value, run.status)
        .join(study, (study.run_uuid == run.run_uuid) & (study.key == STUDY_TAG) & (study.value == study_id))
        .join(trial, (trial.run_uuid == run.run_uuid) & (trial.key == TRIAL_TAG))
        .outerjoin(parent, (parent.run_uuid == run.run_uuid) & (parent.key == PARENT_TAG))
        .where((run.experiment_id == int(experiment.experiment_id)) & (run.lifecycle_stage == "active"))
    )
    with store.ManagedSessionMaker(read_only=True) as session:
        return [Child(int(number), *rest) for number, *rest in session.execute(query).all()]


def delete_runs(store: SqlAlchemyStore, run_ids: Sequence[str]) -> None:
    """What `MlflowClient.delete_run` does to runs without assessments, to all at once; they can be restored."""
    values = {"lifecycle_stage": "deleted", "deleted_time": time.time_ns() // 1_000_000}
    with store.ManagedSessionMaker(read_only=False) as session:
        session.execute(update(models.SqlRun.__table__).where(models.SqlRun.run_uuid.in_(run_ids)).values(values))


_PARTS = (models.SqlParam, models.SqlTag, models.SqlMetric, models.SqlLatestMetric)


def _tables(experiment: Any, runs: Sequence[tuple[str, RunRow]]) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The rows of every table, the one that the others refer to first."""
    params, tags, metrics, latest = [], [], [], []
    for run_id, row in runs:
        params += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.params.items()]
        tags += [{"run_uuid": run_id, "key": k, "value": v} for k, v in row.tags.items()]
        points = [_metric(run_id, point) for point in dict.fromkeys(row.points)]
        metrics += points
        latest += _latest(points)
    first = (models.SqlRun, [_run(run_id, experiment, row) for run_id, row in runs])
    return [first, *zip(_PARTS, (params, tags, metrics, latest), strict=True)]


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


def _metric(run_id: str, point: MetricPoint) -> dict[str, Any]:
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
