"""What optim uses of MLflow that MLflow does not promise to keep: stores, tables, REST calls. All of it is here.

With a version of MLflow that is not among `KNOWN` each function goes through MLflow's public client, which writes the
same, later. `bulk` and `rest` write many runs at once; `writer` says which of them can be used.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optim.spec.uris import with_driver

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STORES = {
    "sql": ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", f"{__name__}.bulk"),
    "http": ("mlflow.store.tracking.rest_store", f"{__name__}.rest"),
}
KNOWN = ("3.17.",)  # the versions of MLflow whose insides are those used here


def known() -> bool:
    """Whether this is a version of MLflow whose insides are known."""
    import mlflow

    return mlflow.__version__.startswith(KNOWN)


def load(kind: str) -> None:
    """Import what MLflow takes to open a store of this kind (`sql`, `http`, `file`): half of it is imported late."""
    import_module("mlflow")
    if kind in _STORES and known():
        for name in _STORES[kind]:
            import_module(name)


def store_of(client: MlflowClient) -> Any:
    """What the client writes to: a SqlAlchemyStore, a RestStore ...; only where the version is known."""
    return client._tracking_client.store


def writer(client: MlflowClient, kind: str) -> ModuleType | None:
    """The module that writes many runs at once to a store of this kind (`sql`, `http`), if it can be used."""
    if kind not in ("sql", "http") or not known():
        return None
    store = store_of(client)
    if kind == "sql":
        from optim.tracking.mlflow_private import bulk

        return bulk if bulk.usable(store) else None
    from optim.tracking.mlflow_private import rest

    return rest if rest.usable(store) else None


def end_run(client: MlflowClient, run_id: str, status: str, end: int | None) -> None:
    """Terminate a run at its true time (ms since the epoch; None: now).

    `set_terminated`, the public way, also prints an advertisement to standard output, and fetches the run for it.
    """
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

    from optim.tracking.mlflow_private.template import copy_to

    engine = create_sqlalchemy_engine(with_driver(uri))
    try:
        copy_to(engine.url)
        if not _all_tables_exist(engine):
            _safe_initialize_tables(engine)
    finally:
        engine.dispose()
