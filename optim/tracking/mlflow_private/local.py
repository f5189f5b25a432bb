"""MLflow's database in a SQLite file and its folders of files, without MLflow: importing it takes longer than a study.

`LocalClient` answers as MlflowClient does to what optim asks of it. What it writes is held against MLflow's client row
by row and file by file (tests/tracking/test_local.py), and it is used only with the versions and the schema tested.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from optim.errors import TrackingError
from optim.tracking.mlflow_private import template
from optim.tracking.mlflow_private.statements import (
    NAME_TAG,
    add_params,
    add_points,
    insert,
    is_locked,
    opened,
    row_of,
    runs_of,
    set_tags,
    value_of,
)
from optim.tracking.mlflow_private.tables import PARTS, rows_of, run_id_of
from optim.tracking.rows import PARENT_TAG, STUDY_TAG, TRIAL_TAG, Child, MetricPoint, RunRow
from optim.tracking.settings import MLflowSettings


def fits(settings: MLflowSettings, *, wait: float | None = None) -> bool:
    """Whether these settings mean a SQLite file, there or not, that this module can write; changes nothing.

    Not so before MLflow itself has made the first database of its version on this machine, where the schema is another
    version's, where workspaces are used, and where files go anywhere but into a folder.
    wait: seconds for a file that another process has locked, BUSY_SECONDS if None. Raises sqlite3.Error where that is
    too short.
    """
    path, made = settings.sqlite_path, template.ready()
    if os.name != "posix" or path is None or made is None or "?" in settings.tracking_uri or path.name.startswith(":"):
        return False
    places = [settings.location() or ""]
    if path.exists():
        try:
            with opened(path, wait=wait) as database:
                if _revision(database) != made.revision:
                    return False
                query = "SELECT workspace, name, artifact_location FROM experiments"
                found = database.execute(query).fetchall()
        except sqlite3.Error as error:
            if is_locked(error):
                raise
            return False
        if any(row["workspace"] != "default" for row in found):
            return False
        places = [row["artifact_location"] for row in found if row["name"] == settings.experiment_name] or places
    return all(_folder(place) is not None for place in places)


def _folder(location: str) -> Path | None:
    """The folder that an experiment's or a run's location names; None if it is anything else."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        plain = parts.netloc in ("", "localhost") and not parts.query and not parts.fragment
        return Path(unquote(parts.path)) if plain and parts.path.startswith("/") else None
    return Path(location) if location.startswith("/") else None


def _revision(database: sqlite3.Connection) -> str:
    return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


class LocalClient:
    """What RunStore asks of MLflow's client, on one file. Where `fits` says so.

    Raises (all methods):
        sqlite3.Error: the file cannot be read or written.
        TrackingError: MLflow would refuse.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        template.copy_to(path)
        with opened(path, writing=True) as database:  # MLflow's pages expect it: number 0
            self._create_experiment(database, "Default", str(Path.cwd() / "mlruns" / "0"), 0)

    def opened(self, *, writing: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction."""
        return opened(self._path, writing=writing)

    @staticmethod
    def _create_experiment(database: sqlite3.Connection, name: str, location: str, number: int | None = None) -> None:
        now = time.time_ns() // 1_000_000
        database.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
            " last_update_time, workspace) VALUES (?, ?, ?, 'active', ?, ?, 'default') ON CONFLICT DO NOTHING",
            (number, name, location, now, now),
        )

    def create_experiment(self, name: str, artifact_location: str) -> None:
        """Nothing happens where it is there already."""
        with self.opened(writing=True) as database:
            self._create_experiment(database, name, artifact_location)

    def get_experiment_by_name(self, name: str) -> Any:
        """With `experiment_id`, `name`, `artifact_location`, `lifecycle_stage`, `creation_time`; None if not there."""
        with self.opened() as database:
            row = database.execute("SELECT * FROM experiments WHERE name = ?", (name,)).fetchone()
        return row and SimpleNamespace(**{**dict(row), "experiment_id": str(row["experiment_id"])})

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        query = "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (?, ?, ?)"
        with self.opened(writing=True) as database:
            database.execute(
                f"{query} ON CONFLICT (experiment_id, key) DO UPDATE SET value = excluded.value",
                (int(experiment_id), key, value),
            )

    def get_run(self, run_id: str) -> Any:
        """With `info` and `data` as MLflow's, deleted or not."""
        with self.opened() as database:
            return runs_of(database, [row_of(database, run_id)])[0]

    def find(self, experiment_id: str, tags: Mapping[str, str]) -> list[Any]:
        """The active runs with all these tags."""
        query = "SELECT * FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
        values: list[Any] = [int(experiment_id)]
        for key, value in tags.items():
            query += " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"
            values += [key, value]
        with self.opened() as database:
            return runs_of(database, database.execute(query, values).fetchall())

    def get_metric_history(self, run_id: str, key: str) -> list[MetricPoint]:
        query = "SELECT * FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY timestamp, step, value"
        with self.opened() as database:
            rows = database.execute(query, (run_id, key)).fetchall()
        return [MetricPoint(key, value_of(row), row["timestamp"], row["step"]) for row in rows]

    def log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """All or nothing."""
        with self.opened(writing=True) as database:
            row_of(database, run_id, active=True)
            add_params(database, run_id, {param.key: param.value for param in params})
            add_points(database, run_id, metrics)
            set_tags(database, run_id, {tag.key: tag.value for tag in tags})

    def delete_tag(self, run_id: str, key: str) -> None:
        with self.opened(writing=True) as database:
            database.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, key))

    def update_run(
        self, run_id: str, status: str | None = None, name: str | None = None, end: int | None = None
    ) -> None:
        """end: ms since the epoch, None to keep what it is."""
        with self.opened(writing=True) as database:
            row_of(database, run_id, active=True)
            query = "UPDATE runs SET status = coalesce(?, status), end_time = coalesce(?, end_time) WHERE run_uuid = ?"
            database.execute(query, (status, end, run_id))
            if name is not None:
                set_tags(database, run_id, {NAME_TAG: name})

    def delete_run(self, run_id: str) -> None:
        """It can be restored."""
        delete_runs(self, [run_id])

    def log_inputs(self, run_id: str, datasets: Iterable[Any]) -> None:
        """Datasets, each once in an experiment and once on a run."""
        with self.opened(writing=True) as database:
            experiment = row_of(database, run_id, active=True)["experiment_id"]
            for dataset, tags in datasets:
                names = ("name", "digest", "dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile")
                row = {"dataset_uuid": uuid.uuid4().hex, "experiment_id": experiment}
                row |= dict(zip(names, dataset, strict=True))
                insert(database, "datasets", [row], "ON CONFLICT DO NOTHING")
                query = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
                (source,) = database.execute(query, (experiment, dataset.name, dataset.digest)).fetchone()
                edge = {"input_uuid": uuid.uuid4().hex, "source_type": "DATASET", "source_id": source}
                edge |= {"destination_type": "RUN", "destination_id": run_id}
                if insert(database, "inputs", [edge], "ON CONFLICT DO NOTHING"):
                    rows = [{"input_uuid": edge["input_uuid"], "name": tag.key, "value": tag.value} for tag in tags]
                    insert(database, "input_tags", rows)

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        file = self._place(run_id) / artifact_file
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")  # whoever reads never sees half a file
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def log_dict(self, run_id: str, dictionary: Mapping[str, Any], artifact_file: str) -> None:
        self.log_text(run_id, json.dumps(dictionary, indent=2, default=str), artifact_file)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str = "") -> None:
        """All that is in a folder, under a path of ours."""
        shutil.copytree(local_dir, self._place(run_id) / artifact_path, dirs_exist_ok=True)

    def _place(self, run_id: str) -> Path:
        with self.opened() as database:
            location = str(row_of(database, run_id)["artifact_uri"])
        if (folder := _folder(location)) is None:
            raise TrackingError(f"the files of run {run_id} are not in a folder, but at {location!r}")
        return folder


def insert_runs(client: LocalClient, experiment: Any, rows: Sequence[RunRow]) -> list[str]:
    """As `bulk.insert_runs`."""
    ids = [run_id_of(experiment, row) for row in rows]
    with client.opened(writing=True) as database:
        new = []
        for run_id, row in zip(ids, rows, strict=True):
            query = "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?"
            known = database.execute(query, (run_id,)).fetchone()
            if known and known["lifecycle_stage"] == "active":
                continue
            for table in (*PARTS, "runs") if known else ():
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run_id,))
            new.append((run_id, row))
        for table, values in rows_of(experiment, new, posixpath.join).items():
            insert(database, table, values)
    return ids


def children(client: LocalClient, experiment: Any, study_id: str) -> list[Child]:
    """As `bulk.children`."""
    query = """
        SELECT trial.value, runs.run_uuid, parent.value, runs.status FROM runs
        JOIN tags study ON study.run_uuid = runs.run_uuid AND study.key = ? AND study.value = ?
        JOIN tags trial ON trial.run_uuid = runs.run_uuid AND trial.key = ?
        LEFT JOIN tags parent ON parent.run_uuid = runs.run_uuid AND parent.key = ?
        WHERE runs.experiment_id = ? AND runs.lifecycle_stage = 'active'"""
    values = (STUDY_TAG, study_id, TRIAL_TAG, PARENT_TAG, int(experiment.experiment_id))
    with client.opened() as database:
        return [Child(int(number), *rest) for number, *rest in database.execute(query, values)]


def delete_runs(client: LocalClient, run_ids: Sequence[str]) -> None:
    """As `bulk.delete_runs`."""
    now = time.time_ns() // 1_000_000
    query = "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?"
    with client.opened(writing=True) as database:
        database.executemany(query, [(now, run_id) for run_id in run_ids])


def unavailable(error: Exception) -> bool:
    """Whether it is the database's failure and no row's: locked, full, gone."""
    return isinstance(error, sqlite3.OperationalError)
