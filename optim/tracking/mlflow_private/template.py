"""A fresh SQLite database of MLflow is a copy: its fifty migrations run once for each version of MLflow, not per study.

The copy is put in place whole, and only where nothing is; where it cannot be, MLflow makes its tables itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.store import db_migrations
from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
from sqlalchemy import URL

from engine.compiled.cache import cache_root


def copy_to(url: URL) -> None:
    """Put an empty database where this URL wants one; nothing happens where there is a file already."""
    place = url.database or ""
    if url.get_backend_name() != "sqlite" or url.query or not place or place.startswith((":", "file:")):
        return
    target = Path(place).absolute()
    beside = [target.with_name(target.name + ending) for ending in ("-journal", "-wal")]
    if any(path.exists() for path in (target, *beside)):
        return
    with suppress(OSError, sqlite3.Error), _partial(target) as partial:
        shutil.copyfile(_template(), partial)
        os.link(partial, target)  # unlike a rename it never takes the place of what another process has made meanwhile


def _template() -> Path:
    """The database as MLflow makes it, made when it is first asked for."""
    file = cache_root() / f"mlflow-{mlflow.__version__}-{_migrations()}.db"
    if not _whole(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with _partial(file) as partial:
            engine = create_sqlalchemy_engine(URL.create("sqlite", database=str(partial)).render_as_string())
            try:
                _initialize_tables(engine)
            finally:
                engine.dispose()
            partial.replace(file)
    return file


def _migrations() -> str:
    """A name for the set of them: a version of MLflow installed from its sources may have others."""
    names = sorted(path.name for path in (Path(db_migrations.__file__).parent / "versions").glob("*.py"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _whole(file: Path) -> bool:
    if not file.is_file():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    return False


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """A name beside `file` that nobody else uses, gone at the end."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    partial.unlink(missing_ok=True)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
