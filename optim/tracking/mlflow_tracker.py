"""MLflowTracker: runs logged by hand through MLflow's client; MLflow's own global state is never touched."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from optim.errors import OptimError, TrackingError
from optim.spec.secrets import expand, mask
from optim.spec.uris import absolute_uri
from optim.tracking.limits import FULL_VALUES, MAX_PARAM, MAX_TAG, Fitted, fit_metrics, fit_text
from optim.tracking.rows import PARENT_TAG, MetricPoint, user_name
from optim.tracking.settings import DEFAULT_EXPERIMENT, DEFAULT_URI, MLflowSettings

if TYPE_CHECKING:
    from optim.tracking.store import RunStore

log = logging.getLogger(__name__)
STATUSES = ("FINISHED", "FAILED", "KILLED")


class _OpenRun(NamedTuple):
    run_id: str
    overflow: dict[str, dict[str, Any]]  # what MLflow's limits changed, in full
    not_finite: dict[str, str]  # metrics that are NaN or infinite, as MLflow's databases cannot keep them


class _End(NamedTuple):
    """The end of a run that MLflow does not know of yet."""

    run_id: str
    status: str
    time: int  # ms since the epoch
    tags: dict[str, str]


class MLflowTracker:
    """Runs of one MLflow experiment.

    A run started while another is open becomes its child. Every thread has its own open runs: they nest under the
    tracker's first open run, and what a thread without a run logs goes there. Leaving the `with` block ends every open
    run of the thread; an exception makes it FAILED, with the tags `status` and `error`, and is never replaced by one of
    MLflow's. The end of a run that could not be told is told with the next call that starts or ends one, or at exit.

    Args:
        tracking_uri: `sqlite:///file.db`, `postgresql://...`, `http://...` or a folder; `${NAME}` is read from the
            environment. Without it MLFLOW_TRACKING_URI, else `sqlite:///mlflow.db` here.
        experiment_name: created when it is not there.
        auto_start_run: start a run at once.
        artifact_location: where a new experiment's files go.
        tags: set on every run.

    Raises (all methods):
        TrackingError: MLflow cannot be reached or refuses; without credentials.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment_name: str = DEFAULT_EXPERIMENT,
        artifact_location: str = "",
        *,
        auto_start_run: bool = False,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        uri = expand(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI, "tracking_uri")
        self.settings = MLflowSettings(absolute_uri(uri, Path.cwd()), experiment_name, artifact_location)
        self._tags = dict(tags or {})
        self._lock = threading.RLock()
        self._store: RunStore | None = None
        self._root: _OpenRun | None = None
        self._local = threading.local()
        self._untold: list[_End] = []
        if auto_start_run:
            self.start_run()

    def start_run(self, name: str | None = None) -> str:
        """A new run, the child of the open one if there is one; its id."""
        with self._masked(), self._lock:
            self._tell_ends()
            parent = self._stack[-1] if self._stack else self._root
            tags = fit_text(self._tags, MAX_TAG)
            system = {"mlflow.user": user_name(), "mlflow.source.name": "optim", "mlflow.source.type": "LOCAL"}
            system |= {PARENT_TAG: parent.run_id} if parent else {}
            store = self._open()
            run = store.client.create_run(store.experiment_id, tags=tags.entries | system, run_name=name)
            opened = _OpenRun(run.info.run_id, {}, {})
            self._stack.append(opened)
            self._root = self._root or opened
            self._keep(opened, "tags", tags)
            return opened.run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Inputs; in batches, any number. A value cannot be changed afterwards."""
        with self._masked():
            fitted = fit_text(params, MAX_PARAM)
            self._open().add(self._current.run_id, (), fitted.entries)
            self._keep(self._current, "params", fitted)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Results, at a step if they are a series."""
        with self._masked():
            now = time.time_ns() // 1_000_000
            fitted = fit_metrics(metrics)
            self._open().add(
                self._current.run_id, [MetricPoint(k, v, now, int(step or 0)) for k, v in fitted.entries.items()]
            )
            odd = {key: text for key, text in fitted.changed.items() if isinstance(text, str)}
            if odd:
                self._current.not_finite.update(odd)
                noted = ", ".join(f"{key}={text}" for key, text in self._current.not_finite.items())
                self._open().set_tags(self._current.run_id, {"optim.not_finite": noted[:MAX_TAG]})
            renamed = {key: value for key, value in fitted.changed.items() if key not in fitted.entries}
            self._keep(self._current, "metrics", Fitted({}, renamed))

    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None:
        """A file, or a folder with all in it, under `artifact_path` (such as `plots/`)."""
        if not Path(path).exists():
            raise TrackingError(
                f"The artifact {str(path)!r} does not exist; give an existing file, best by its absolute path."
            )
        with self._masked():
            client, target = self._open().client, artifact_path.strip("/") if artifact_path else None
            log = client.log_artifacts if Path(path).is_dir() else client.log_artifact
            log(self._current.run_id, str(path), target)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Text to filter and group by; a tag can be changed."""
        with self._masked():
            fitted = fit_text(
                {key: mask(str(value), self.settings.tracking_uri) for key, value in tags.items()}, MAX_TAG
            )
            self._open().set_tags(self._current.run_id, fitted.entries)
            self._keep(self._current, "tags", fitted)

    def end_run(self, status: str = "FINISHED") -> None:
        """End this thread's innermost run as FINISHED, FAILED or KILLED; nothing if none is open.

        Raises:
            TrackingError: MLflow could not be told; it will be with the next run that starts or ends, or at exit.
        """
        if status not in STATUSES:
            raise TrackingError(f"A run ends as one of {', '.join(STATUSES)}, but got {status!r}.")
        if self._stack:
            self._end(status, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        text = mask(f"{type(error).__name__}: {error}", self.settings.tracking_uri)
        tags = {} if error is None else fit_text({"status": "failed", "error": text}, MAX_TAG).entries
        problem: TrackingError | None = None
        while self._stack:
            try:
                self._end("FINISHED" if error is None else "FAILED", tags)
            except TrackingError as failure:
                problem = failure
        if problem is not None and error is None:
            raise problem
        if problem is not None:
            log.warning("%s", problem)

    def _end(self, status: str, tags: dict[str, str]) -> None:
        ended = self._stack.pop()
        if ended is self._root:
            self._root = None
        with self._masked(), self._lock:
            if not self._untold:
                atexit.register(self._tell_at_exit)
            self._untold.append(_End(ended.run_id, status, time.time_ns() // 1_000_000, tags))
            self._tell_ends()

    def _tell_ends(self) -> None:
        """Tell MLflow of all ends it does not know of; one that it refuses waits behind the others."""
        while self._untold:
            self._untold.append(self._untold.pop(0))
            end = self._untold[-1]
            if end.tags:
                self._open().set_tags(end.run_id, end.tags)
            self._open().end(end.run_id, end.status, end.time)
            self._untold.pop()
        atexit.unregister(self._tell_at_exit)

    def _tell_at_exit(self) -> None:
        with suppress(Exception):
            self._tell_ends()

    @property
    def _stack(self) -> list[_OpenRun]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[_OpenRun] = self._local.stack
        return stack

    @property
    def _current(self) -> _OpenRun:
        run = self._stack[-1] if self._stack else self._root
        if run is None:
            raise TrackingError("No run is open: call start_run(name) first, or pass auto_start_run=True.")
        return run

    def _open(self) -> RunStore:
        from optim.tracking.store import RunStore

        with self._lock:
            if self._store is None:
                self._store = RunStore(self.settings, by_mlflow=True)
            return self._store

    def _keep(self, run: _OpenRun, part: str, fitted: Fitted) -> None:
        """Nothing is lost to MLflow's limits: what was changed is in a JSON artifact."""
        if fitted.changed:
            with self._lock:
                run.overflow.setdefault(part, {}).update(fitted.changed)
                self._open().client.log_dict(run.run_id, run.overflow, FULL_VALUES)

    @contextmanager
    def _masked(self) -> Iterator[None]:
        try:
            yield
        except OptimError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a driver or a disk raises, without credentials
            text = mask(f"MLflow at {self.settings.masked}: {error}", self.settings.tracking_uri)
            raise TrackingError(text) from None
