"""Finished runs through MLflow's REST API over few kept connections: create, log-batch, update is all a run takes.

There is no call for several runs. MLflow's own client spends far more time on a call than the call needs (protobuf
messages, a search for header providers) and waits for a delayed acknowledgement of its own kernel with every answer of
a server with several workers, whose sockets hold the body back until the header is acknowledged (Nagle's algorithm).
"""

from __future__ import annotations

import base64
import math
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracking.request_header.registry import resolve_request_headers
from mlflow.utils.rest_utils import verify_rest_response
from mlflow.utils.workspace_context import get_request_workspace
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from optim.tracking.rows import MetricPoint, RunRow

CONNECTIONS = 4  # more only make the workers of a server wait for each other and for its database
_MAX_PARAMS, _MAX_POINTS = 100, 900  # of one log-batch call
_API = "/api/2.0/mlflow/runs/"

Call = Callable[[str, dict[str, Any]], dict[str, Any]]


def usable(store: Any) -> bool:
    """Whether `store` is a server that can be called without MLflow's client: no special login, redirects allowed."""
    if type(store) is not RestStore:
        return False
    if os.environ.get("MLFLOW_ALLOW_HTTP_REDIRECTS", "true").lower() not in ("true", "1"):
        return False
    creds = store.get_host_creds()
    special = (creds.aws_sigv4, creds.auth, creds.use_databricks_sdk, creds.client_secret, creds.workspace_id)
    return not any(special) and not get_request_workspace()


def unavailable(error: Exception) -> bool:
    """Whether it is the server's failure and no row's: each row tells of its own."""
    return True


def insert_runs(store: RestStore, experiment: Any, rows: Sequence[RunRow]) -> list[str | Exception]:
    """Write finished runs, each for itself; per row its id, or why it could not be written."""

    def write(row: RunRow) -> str | Exception:
        try:
            return _insert(call, str(experiment.experiment_id), row)
        except Exception as error:  # noqa: BLE001 - one row's failure must not lose the others
            return error

    with requests.Session() as session, ThreadPoolExecutor(CONNECTIONS) as threads:
        call = _caller(session, store.get_host_creds())
        return list(threads.map(write, rows))


def _insert(call: Call, experiment_id: str, row: RunRow) -> str:
    created = call(
        "create",
        {
            "experiment_id": experiment_id,
            "user_id": row.tags.get("mlflow.user", "unknown"),
            "start_time": row.start,
            "run_name": row.name,
            "tags": _entries(row.tags.items()),
        },
    )
    run_id: str = created["run"]["info"]["run_id"]
    for params, points in _batches(row):
        metrics = [_metric(point) for point in points]
        call("log-batch", {"run_id": run_id, "metrics": metrics, "params": _entries(params)})
    call("update", {"run_id": run_id, "status": row.status, "end_time": row.end})
    return run_id


def _batches(row: RunRow) -> Iterator[tuple[Sequence[tuple[str, str]], Sequence[MetricPoint]]]:
    """Parameters and points in as few calls as MLflow's limits allow."""
    params = list(row.params.items())
    for number in range(max(math.ceil(len(params) / _MAX_PARAMS), math.ceil(len(row.points) / _MAX_POINTS))):
        yield params[number * _MAX_PARAMS :][:_MAX_PARAMS], row.points[number * _MAX_POINTS :][:_MAX_POINTS]


def _entries(items: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in items]


def _metric(point: MetricPoint) -> dict[str, Any]:
    """JSON has no NaN and no infinity: protobuf's names for them."""
    value: float | str = float(point.value)
    if not math.isfinite(point.value):
        value = "NaN" if math.isnan(point.value) else "Infinity" if point.value > 0 else "-Infinity"
    return {"key": point.key, "value": value, "timestamp": int(point.timestamp), "step": int(point.step)}


def _caller(session: requests.Session, creds: Any) -> Call:
    """A function that posts to one of the server's calls about runs, with the headers and logins MLflow would use."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=CONNECTIONS))
    session.headers.update(resolve_request_headers())
    if creds.username and creds.password:
        login = base64.b64encode(f"{creds.username}:{creds.password}".encode()).decode()
        session.headers["Authorization"] = f"Basic {login}"
    elif creds.token:
        session.headers["Authorization"] = f"Bearer {creds.token}"
    root, timeout = creds.host.rstrip("/"), MLFLOW_HTTP_REQUEST_TIMEOUT.get()

    def call(name: str, body: dict[str, Any]) -> dict[str, Any]:
        path = _API + name
        response = session.post(
            root + path, json=body, timeout=timeout, verify=creds.verify, cert=creds.client_cert_path
        )
        answer: dict[str, Any] = verify_rest_response(response, path).json()
        return answer

    return call


class _Prompt:
    """A connection that acknowledges an answer's first part at once, where the system can be told to."""

    sock: Any

    def getresponse(self) -> Any:
        if hasattr(socket, "TCP_QUICKACK"):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return super().getresponse()  # type: ignore[misc]


class _HTTP(_Prompt, HTTPConnection):
    pass


class _HTTPS(_Prompt, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
