"""What optim uses of MLflow that MLflow does not promise to keep: stores, tables, REST calls. All of it is here.

With a version of MLflow that is not among `KNOWN` each function goes through MLflow's public client, which writes the
same, later. `bulk` and `rest` write many runs at once; `writer` says which of them can be used.
"""

from __future__ import annotations

import sqlite3
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optim.spec.uris import with_driver
from optim.tracking.mlflow_private import entities, local, template
from optim.tracking.mlflow_private.local import LocalClient
from optim.tracking.settings import MLflowSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STORES = {
    "sql": ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", f"{__name__}.bulk"),
    "http": ("mlflow.store.tracking.rest_store", f"{__name__}.rest"),
}
KNOWN = ("3.17.",)  # the versions of MLflow whose insides are those used here


def known() -> bool:
    """Whether this is a version of MLflow whose insides are known; imports nothing of it."""
    return template.version().startswith(KNOWN)


def without_mlflow(settings: MLflowSettings) -> bool:
    """Whether MLflow need not be imported: a SQLite file is written as MLflow writes it.

    What cannot be seen because another process has the file locked is taken for such a file; nobody waits for it.
    """
    try:
        return known() and local.fits(settings, wait=0.0)
    except sqlite3.Error:
        return True


def load(kind: str) -> None:
    """Import what MLflow takes to open a store of this kind (`sql`, `http`, `file`): half of it is imported late."""
    import_module("mlflow")
    if kind in _STORES and known():
        for name in _STORES[kind]:
            import_module(name)


def open_client(settings: MLflowSettings) -> Any:
    """A client of what the settings name: MLflow's, or one that answers as it does."""
    if settings.sqlite_path and known() and local.fits(settings):
        return LocalClient(settings.sqlite_path)
    return open_mlflow(settings)


def open_mlflow(settings: MLflowSettings) -> MlflowClient:
    """MLflow's own client; a database has its tables afterwards."""
    from mlflow import MlflowClient

    if settings.kind == "sql":
        create_tables(settings.tracking_uri)
    return MlflowClient(tracking_uri=with_driver(settings.tracking_uri))


def store_of(client: Any) -> Any:
    """What the client writes to: a SqlAlchemyStore, a RestStore, itself ...; only where the version is known."""
    return client if isinstance(client, LocalClient) else client._tracking_client.store


def entities_of(client: Any) -> Any:
    """Where the client's Metric, Param, RunTag, Dataset, DatasetInput and InputTag are."""
    return entities if isinstance(client, LocalClient) else import_module("mlflow.entities")


def writer(client: Any, kind: str) -> ModuleType | None:
    """The module that writes many runs at once to a store of this kind (`sql`, `http`), if it can be used."""
    if isinstance(client, LocalClient):
        return local
    if kind not in ("sql", "http") or not known():
        return None
    store = store_of(client)
    if kind == "sql":
        from optim.tracking.mlflow_private import bulk

        return bulk if bulk.usable(store) else None
    from optim.tracking.mlflow_private import rest

    return rest if rest.usable(store) else None


def end_run(client: Any, run_id: str, status: str, end: int | None) -> None:
    """Terminate a run at its true time (ms since the epoch; None: now).

    `set_terminated`, the public way, also prints an advertisement to standard output, and fetches the run for it.
    """
    if isinstance(client, LocalClient):
        client.update_run(run_id, status, end=end)
        return
    from mlflow.entities import RunStatus

    if known():
        store_of(client).update_run_info(run_id, RunStatus.from_string(status), end, None)
    else:
        client.set_terminated(run_id, status, end)


def create_tables(uri: str) -> None:
    """Initialise a fresh database under MLflow's own lock: processes that open it together would break each other.

    One plain attempt: MLflow's own, which is left to its client where the version is not known, tries a database that
    is down for a minute and a half.
    """
    if not known():
        return
    from mlflow.store.db.utils import _all_tables_exist, _safe_initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(with_driver(uri))
    try:
        place, query = engine.url.database or "", engine.url.query
        if uri.startswith("sqlite") and place and not query and not place.startswith((":", "file:")):
            template.copy_to(Path(place).absolute())
        if not _all_tables_exist(engine):
            _safe_initialize_tables(engine)
    finally:
        engine.dispose()
