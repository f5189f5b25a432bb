"""A database or an MLflow server, asked whether it is there; nothing is written, no credential is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from optim.errors import cause, cut
from optim.record.files import sqlite_file
from optim.spec.secrets import mask, mask_uri
from optim.spec.uris import with_driver

_SECONDS = 10.0  # to answer in
_OFF = 60.0  # seconds by which two clocks may differ
Row = tuple[str, Literal["ok", "warning", "problem"], str, str]


def database(uri: str, query: str, table: str) -> Any:
    """The one value of a query, None where the table is absent. Raises whatever the driver does."""
    from sqlalchemy import create_engine, inspect, text

    file = sqlite_file(uri)
    if file is None:
        engine = create_engine(with_driver(uri), connect_args={"connect_timeout": int(_SECONDS)})
    else:
        engine = create_engine(f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(table):
                return None
            return connection.execute(text(query)).scalar()
    finally:
        engine.dispose()


def mlflow_server(uri: str) -> Iterator[Row]:
    """Whether it answers, lets us in, is of this MLflow's generation, and has our clock."""
    import requests

    mend = "start it, or mend [tracking.mlflow] tracking_uri"
    bare, credentials = _credentials(uri)
    try:
        answer = requests.get(f"{bare}/version", timeout=_SECONDS, **credentials)
    except requests.RequestException as error:
        yield "tracking", "problem", f"{mask_uri(uri)} does not answer: {cut(mask(cause(str(error)), uri), 400)}", mend
        return
    if answer.status_code in (401, 403):
        remedy = (
            "give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; 403: let this host in with --allowed-hosts"
        )
        yield "tracking", "problem", f"{mask_uri(uri)} lets nobody in like that: {answer.status_code}", remedy
        return
    if not answer.ok:
        yield "tracking", "problem", f"{mask_uri(uri)} answers {answer.status_code}: no MLflow server", mend
        return
    theirs, ours = cut(answer.text, 40), version("mlflow")
    alike = theirs.partition(".")[0] == ours.partition(".")[0]
    yield (
        "tracking",
        "ok" if alike else "warning",
        f"{mask_uri(uri)} answers: MLflow {theirs}" + ("" if alike else f", here it is {ours}"),
        "" if alike else "use one generation of MLflow on both sides",
    )
    yield from _clock(answer.headers.get("Date"))


def _clock(date: str | None) -> Iterator[Row]:
    try:
        off = parsedate_to_datetime(date or "").timestamp() - time.time()
    except (TypeError, ValueError):
        return
    if abs(off) <= _OFF:
        yield "clock", "ok", "the tracking server's, within a minute", ""
        return
    text = f"the tracking server's is {abs(off):,.0f} s {'ahead' if off > 0 else 'behind'}"
    yield "clock", "warning", text, "set both by a time server; runs are sorted by their times"


def _credentials(uri: str) -> tuple[str, dict[str, Any]]:
    """The URI without its user, and what MLflow's client would send."""
    parts = urlsplit(uri)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        return bare, {"auth": (user, password)}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return bare, {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
