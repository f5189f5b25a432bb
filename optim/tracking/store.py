"""An MLflow experiment as the projection uses it: find, write, complete and delete runs. Imports MLflow when opened."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from optim.errors import TrackingError
from optim.tracking import mlflow_private
from optim.tracking.limits import FULL_VALUES
from optim.tracking.mlflow_private.local import LocalClient
from optim.tracking.rows import PARENT_TAG, STUDY_TAG, TRIAL_TAG, Child, MetricPoint, RunRow
from optim.tracking.settings import MLflowSettings, prepare_environment

HTTP_THREADS = 16  # through MLflow's client
CHUNK = {"sql": 250, "http": 64, "file": 32}  # runs between two signs of progress
_PAGE = 1000
_UNFINISHED = ("RUNNING", "SCHEDULED")


class RunStore:
    """One experiment; created when it is not there. With `by_mlflow` by MLflow's own client in any case.

    Raises:
        TrackingError: the experiment was deleted in MLflow.
        mlflow.exceptions.MlflowException, sqlite3.Error: MLflow cannot be reached or refuses.
    """

    def __init__(self, settings: MLflowSettings, *, by_mlflow: bool = False) -> None:
        prepare_environment(settings)
        if settings.sqlite_path:
            settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.client: Any = (mlflow_private.open_mlflow if by_mlflow else mlflow_private.open_client)(settings)
        self.entities = mlflow_private.entities_of(self.client)
        self.experiment = self._experiment()
        self.bulk: Any = mlflow_private.writer(self.client, settings.kind)

    @property
    def chunk(self) -> int:
        """How many runs are written or deleted between two signs of progress."""
        return CHUNK[self.settings.kind]

    @property
    def experiment_id(self) -> str:
        return str(self.experiment.experiment_id)

    def find(self, tags: dict[str, str], progress: Callable[[], None] = lambda: None) -> list[Any]:
        """All active runs of the experiment with these tags, oldest first; `progress` hears of every thousand."""
        if isinstance(self.client, LocalClient):
            return _oldest_first(self.client.find(self.experiment_id, tags))
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], query, max_results=_PAGE, page_token=token)
            found += page
            progress()
            token = page.token
            if not token:
                return _oldest_first(found)

    def children(self, study_id: str, progress: Callable[[], None] = lambda: None) -> list[Child]:
        """The active runs of a study's trials."""
        if self.bulk and self.settings.kind == "sql":
            found: list[Child] = self.bulk.children(mlflow_private.store_of(self.client), self.experiment, study_id)
            return found
        runs = self.find({STUDY_TAG: study_id, "optim.role": "trial"}, progress)
        return [
            Child(int(run.data.tags[TRIAL_TAG]), run.info.run_id, run.data.tags.get(PARENT_TAG), run.info.status)
            for run in runs
        ]

    def create(self, row: RunRow) -> str:
        """A new run with everything but its end; its id."""
        if self.bulk and self.settings.kind == "sql":
            run_id = self.bulk.insert_runs(mlflow_private.store_of(self.client), self.experiment, [row])[0]
            self.log_overflow(run_id, row)
            return str(run_id)
        tags = dict(row.tags)
        run = self.client.create_run(self.experiment_id, start_time=row.start, tags=tags, run_name=row.name)
        run_id = str(run.info.run_id)
        self.add(run_id, row.points, row.params)
        self.log_overflow(run_id, row)
        return run_id

    def log_overflow(self, run_id: str, row: RunRow) -> None:
        """What MLflow's limits changed, in full, as a JSON artifact."""
        if row.overflow:
            self.client.log_dict(run_id, row.overflow, FULL_VALUES)

    def add(self, run_id: str, points: Iterable[MetricPoint], params: dict[str, str] | None = None) -> None:
        """Metrics and parameters in one call."""
        make = self.entities
        metrics = [make.Metric(p.key, float(p.value), int(p.timestamp), int(p.step)) for p in points]
        self.client.log_batch(run_id, metrics=metrics, params=[make.Param(k, v) for k, v in (params or {}).items()])

    def set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        self.client.log_batch(run_id, tags=[self.entities.RunTag(key, value) for key, value in tags.items()])

    def end(self, run_id: str, status: str, end: int | None) -> None:
        """Terminate a run at its true time."""
        mlflow_private.end_run(self.client, run_id, status, end)

    def write(self, rows: Sequence[RunRow]) -> list[str | Exception]:
        """Write finished runs; per row its id, or why it could not be written. The database's failures raise."""
        plain = [row for row in rows if self.bulk and not row.overflow]  # an artifact must be there before the run ends
        others = [row for row in rows if not self.bulk or row.overflow]
        with ThreadPoolExecutor(HTTP_THREADS if self.settings.kind == "http" else 1) as threads:
            written = zip(others, threads.map(self._write_one, others), strict=True)
            outcomes = {row.name: outcome for row, outcome in written}
        outcomes |= {row.name: outcome for row, outcome in zip(plain, self._write_bulk(plain), strict=True)}
        return [outcomes[row.name] for row in rows]

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete runs as MLflow does: they can be restored."""
        if self.bulk and self.settings.kind == "sql":
            self.bulk.delete_runs(mlflow_private.store_of(self.client), run_ids)
            return
        with ThreadPoolExecutor(HTTP_THREADS if self.settings.kind == "http" else 1) as threads:
            for _ in threads.map(self.client.delete_run, run_ids):
                pass  # a failure raises

    def complete(self, run: Any, row: RunRow) -> None:
        """Bring an unfinished run to `row`, logging only what it lacks."""
        run_id = run.info.run_id
        run = self.client.get_run(run_id)
        stepped = {p.key for p in row.points if p.step}
        known = {(m.key, m.step) for key in stepped for m in self.client.get_metric_history(run_id, key)}
        known |= {(key, 0) for key in run.data.metrics if key not in stepped}
        missing = {key: value for key, value in row.params.items() if key not in run.data.params}
        self.add(run_id, [p for p in row.points if (p.key, p.step) not in known], missing)
        self.set_tags(run_id, {key: value for key, value in row.tags.items() if key != "mlflow.runName"})
        self.log_overflow(run_id, row)
        if row.end is not None:
            self.end(run_id, row.status, row.end)

    def _write_one(self, row: RunRow) -> str | Exception:
        try:
            run_id = self.create(row)
            self.end(run_id, row.status, row.end)
        except Exception as error:  # noqa: BLE001 - one row's failure must not lose the others
            return error
        return run_id

    def _write_bulk(self, rows: Sequence[RunRow]) -> list[str | Exception]:
        """All at once; a row that keeps a database from taking the others is found by halving."""
        if not rows:
            return []
        try:
            return list(self.bulk.insert_runs(mlflow_private.store_of(self.client), self.experiment, rows))
        except Exception as error:
            if self.bulk.unavailable(error):  # locked, full, gone: no row's fault
                raise
            if len(rows) == 1:
                return [error]
            middle = len(rows) // 2
            return self._write_bulk(rows[:middle]) + self._write_bulk(rows[middle:])

    def _experiment(self) -> Any:
        name = self.settings.experiment_name
        experiment: Any = self.client.get_experiment_by_name(name)
        if experiment is None:
            try:
                self.client.create_experiment(name, artifact_location=self.settings.location())
            except Exception:  # another process was faster
                if self.client.get_experiment_by_name(name) is None:
                    raise
            experiment = self.client.get_experiment_by_name(name)
        if experiment.lifecycle_stage == "deleted":
            remedy = (
                f"restore it with `mlflow experiments restore -x {experiment.experiment_id}` or choose another name."
            )
            raise TrackingError(f"The MLflow experiment {name!r} is deleted: {remedy}")
        return experiment


def _oldest_first(runs: Iterable[Any]) -> list[Any]:
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def unfinished(run: Any) -> bool:
    """Whether a run, or a Child, has no end yet."""
    return getattr(run, "info", run).status in _UNFINISHED


def outdated(run: Any, row: RunRow) -> bool:
    """Whether a run has parameters that are not its own: MLflow takes none away, so another run must replace it."""
    return bool(run.data.params.keys() - row.params.keys())


def same(run: Any, row: RunRow, own_params: Iterable[str]) -> bool:
    """Whether a finished run of MLflow says what the record says about its trial.

    What all trials share (versions, user, commit) is not compared: it belongs to the moment of writing.
    """
    tags = {
        k: v
        for k, v in row.tags.items()
        if k.startswith("optim.") or k in ("error", "infeasible", "mlflow.parentRunId")
    }
    latest = {point.key: point.value for point in row.points}  # points of a key come in step order
    return (
        (run.info.status, run.info.start_time, run.info.end_time) == (row.status, row.start, row.end)
        and all(run.data.tags.get(key) == value for key, value in tags.items())
        and all(run.data.params.get(key) == row.params.get(key) for key in own_params)
        and all(key in run.data.metrics and equal(run.data.metrics[key], value) for key, value in latest.items())
    )


def equal(stored: float, value: float) -> bool:
    """Whether MLflow holds this value: NaN is NaN, and the largest float stands for infinity."""
    if math.isnan(value):
        return math.isnan(stored)
    limit = sys.float_info.max
    return min(max(stored, -limit), limit) == min(max(value, -limit), limit)
