"""A fresh SQLite database of MLflow is a copy, and the same as MLflow's own; what is there already stays."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

from optim.tracking.mlflow_private import create_tables


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content(file: Path) -> dict[str, Any]:
    """Every table's columns, indices and rows; MLflow itself writes indices and checks in any order."""
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ask = {name: [f"PRAGMA table_info({name})", f"SELECT * FROM {name}"] for name in names}
        indices = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
        found = {name: [connection.execute(query).fetchall() for query in queries] for name, queries in ask.items()}
        return found | {"indices": connection.execute(indices).fetchall()}


def test_a_copy_is_what_mlflow_makes(tmp_path: Path, cache: Path) -> None:
    for name in ("first", "second é"):
        create_tables(f"sqlite:///{tmp_path / name}.db")
    engine = create_sqlalchemy_engine(f"sqlite:///{tmp_path / 'own'}.db")
    _initialize_tables(engine)
    engine.dispose()
    own = content(tmp_path / "own.db")
    assert len(own) > 30
    assert content(tmp_path / "first.db") == content(tmp_path / "second é.db") == own
    assert len(list(cache.iterdir())) == 1
    assert not list(tmp_path.glob(".*"))


def test_a_template_that_was_spoilt_is_made_again(tmp_path: Path, cache: Path) -> None:
    create_tables(f"sqlite:///{tmp_path}/first.db")
    (template,) = cache.iterdir()
    template.write_bytes(template.read_bytes()[:5000])
    create_tables(f"sqlite:///{tmp_path}/second.db")
    assert content(tmp_path / "second.db") == content(tmp_path / "first.db")


def test_a_database_that_is_there_is_not_replaced(tmp_path: Path, cache: Path) -> None:
    place = tmp_path / "mine.db"
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("CREATE TABLE mine (kept INTEGER)")
        connection.execute("INSERT INTO mine VALUES (7)")
    create_tables(f"sqlite:///{place}")
    found = content(place)
    assert found["mine"][1] == [(7,)]
    assert "runs" in found


def test_those_who_come_together_find_one_database(tmp_path: Path, cache: Path) -> None:
    create_tables(f"sqlite:///{tmp_path}/first.db")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(create_tables, [f"sqlite:///{tmp_path}/shared.db"] * 8))
    assert content(tmp_path / "shared.db") == content(tmp_path / "first.db")


def test_without_a_cache_folder_mlflow_makes_its_tables(tmp_path: Path, cache: Path) -> None:
    cache.write_text("no folder")
    create_tables(f"sqlite:///{tmp_path}/first.db")
    assert "runs" in content(tmp_path / "first.db")
