"""Databases and servers of the tracking tests, made once per test process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables; creating them takes seconds, copying them nothing."""
    from optim.tracking.mlflow_private import create_tables

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    create_tables(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """An MLflow server without login, keeping its artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with servers.mlflow_server(folder, "--artifacts-destination", str(folder / "artifacts")) as url:
        yield url


@pytest.fixture(scope="session")
def auth_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """An MLflow server with MLflow's own login (admin)."""
    folder = tmp_path_factory.mktemp("auth")
    shutil.copy(empty_database, folder / "mlflow.db")
    login = {"MLFLOW_AUTH_ADMIN_PASSWORD": servers.PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-the-test"}
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nadmin_password = " + servers.PASSWORD + "\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 300\n"
    )
    login["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
    with servers.mlflow_server(folder, "--app-name", "basic-auth", **login) as url:
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server whose database `mlflow` has MLflow's tables."""
    from optim.tracking.mlflow_private import create_tables

    with servers.postgres_cluster() as uri:
        servers.create_database(uri, "mlflow")
        create_tables(f"{uri}/mlflow")
        yield uri
