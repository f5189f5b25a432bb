"""MLflow's tables in a SQLite file: one transaction, and what is read and written within it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from optim.errors import TrackingError
from optim.tracking.mlflow_private.tables import latest, metric
from optim.tracking.rows import MetricPoint

BUSY_SECONDS = 20.0  # how long another process's write is waited for, as MLflow does
NAME_TAG = "mlflow.runName"  # the run's name, once more


@contextmanager
def opened(path: Path, *, writing: bool = False, wait: float | None = None) -> Iterator[sqlite3.Connection]:
    """One transaction on the file that is there; closed at the end. wait: seconds for others, BUSY_SECONDS if None."""
    uri, wait = f"{path.as_uri()}?mode=rw", BUSY_SECONDS if wait is None else wait
    with closing(sqlite3.connect(uri, timeout=wait, uri=True, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        try:
            yield database
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process has the file for itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY  # unset where Python itself raises it


_LATER = """ON CONFLICT (key, run_uuid) DO UPDATE SET
    value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)"""


def insert(database: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]], otherwise: str = "") -> int:
    """Rows of one table, all with the same columns; how many there were not yet."""
    if not rows:
        return 0
    names = list(rows[0])
    query = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)}) {otherwise}"
    return database.executemany(query, rows).rowcount


def row_of(database: sqlite3.Connection, run_id: str, *, active: bool = False) -> sqlite3.Row:
    row: sqlite3.Row | None = database.execute("SELECT * FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    if row is None or (active and row["lifecycle_stage"] != "active"):
        raise TrackingError(f"run {run_id} is {'not there' if row is None else 'deleted'}")
    return row


def runs_of(database: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> list[Any]:
    """Rows of `runs` with all that belongs to them, as MLflow's entities."""
    found = []
    for row in rows:
        own = (row["run_uuid"],)
        params, tags = (
            dict(database.execute(f"SELECT key, value FROM {part} WHERE run_uuid = ?", own).fetchall())
            for part in ("params", "tags")
        )
        points = database.execute("SELECT * FROM latest_metrics WHERE run_uuid = ?", own)
        data = SimpleNamespace(params=params, tags=tags, metrics={point["key"]: value_of(point) for point in points})
        info = SimpleNamespace(
            run_id=row["run_uuid"], status=row["status"], start_time=row["start_time"], end_time=row["end_time"]
        )
        found.append(SimpleNamespace(info=info, data=data))
    return found


def value_of(row: sqlite3.Row) -> float:
    return math.nan if row["is_nan"] else float(row["value"])


def add_params(database: sqlite3.Connection, run_id: str, params: Mapping[str, str]) -> None:
    known = dict(database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)).fetchall())
    for key, value in params.items():
        if known.get(key, value) != value:
            raise TrackingError(f"parameter {key!r} of run {run_id} is {known[key]!r} and cannot become {value!r}")
    rows = [{"run_uuid": run_id, "key": key, "value": value} for key, value in params.items() if key not in known]
    insert(database, "params", rows)


def add_points(database: sqlite3.Connection, run_id: str, points: Sequence[Any]) -> None:
    """Each once; the latest of every key is the one that MLflow shows."""
    rows = [metric(run_id, MetricPoint(point.key, point.value, point.timestamp, point.step)) for point in points]
    insert(database, "metrics", rows, "ON CONFLICT DO NOTHING")
    insert(database, "latest_metrics", latest(rows), _LATER)


def set_tags(database: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    rows = [{"run_uuid": run_id, "key": key, "value": value} for key, value in tags.items()]
    insert(database, "tags", rows, "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value")
    if name := tags.get(NAME_TAG):
        database.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run_id))
