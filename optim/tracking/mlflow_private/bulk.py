"""Many runs in one transaction, through MLflow's own SQLAlchemy models.

MLflow has no public call for it: one child run through its client takes seven commits. What this writes is held
against the public API row by row (tests/tracking/test_conformance.py) and so used only with the versions tested.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import aliased

from optim.tracking.mlflow_private.tables import PARTS, rows_of, run_id_of
from optim.tracking.rows import PARENT_TAG, STUDY_TAG, TRIAL_TAG, Child, RunRow

_TABLES: dict[str, Any] = Base.metadata.tables


def usable(store: Any) -> bool:
    """Whether `store` is a database."""
    return type(store) is SqlAlchemyStore


def unavailable(error: Exception) -> bool:
    """Whether it is the database's failure and no row's: locked, full, gone."""
    return not isinstance(error, MlflowException) or error.error_code == "TEMPORARILY_UNAVAILABLE"


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
            for name in (*PARTS, "runs"):
                table = _TABLES[name]
                session.execute(delete(table).where(table.c.run_uuid.in_(deleted)))
        new = [(run_id, row) for run_id, row in zip(ids, rows, strict=True) if known.get(run_id) != "active"]
        for name, values in rows_of(experiment, new, append_to_uri_path).items():
            if values:
                session.execute(insert(_TABLES[name]), values)
    return ids


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
