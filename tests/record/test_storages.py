"""Optuna's own suite for storages, over every storage a record can be in: a new Optuna is found out at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from optim.record.storages import open_storage
from tests import servers

pytestmark = pytest.mark.filterwarnings("ignore")  # what the suite of another project warns of is its own


def disposed(storage: BaseStorage) -> Iterator[BaseStorage]:
    """The storage, whose connections are closed afterwards: a server has a hundred."""
    assert isinstance(storage, optuna.storages.RDBStorage)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


class TestJournal(StorageTestCase):
    """The journal file with grouped writes."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage(str(tmp_path / "optuna.journal"))


class TestSQLite(StorageTestCase):
    """Optuna's own tables in SQLite."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        yield from disposed(open_storage(f"sqlite:///{tmp_path}/optuna.db"))


@pytest.mark.real("postgresql")
class TestPostgreSQL(StorageTestCase):
    """Optuna's own tables in PostgreSQL."""

    @pytest.fixture(scope="class")
    def server(self) -> Iterator[str]:
        with servers.postgres_cluster() as url:
            yield url

    @pytest.fixture
    def storage(self, server: str, request: pytest.FixtureRequest) -> Iterator[BaseStorage]:
        return open_storage(
            servers.create_database(server, f"t{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}")
        )


def test_the_suite_is_there() -> None:
    names = [name for name in dir(StorageTestCase) if name.startswith("test_")]
    assert len(names) >= 40, f"Optuna {optuna.__version__} has another suite"
