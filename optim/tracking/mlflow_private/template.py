"""A fresh SQLite database of MLflow is a copy: its fifty migrations run once for each version of MLflow, not per study.

The copy is put in place whole, and only where nothing is; where it cannot be, MLflow makes its tables itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from engine.compiled.cache import cache_root


class Made(NamedTuple):
    """An empty database of MLflow."""

    file: Path
    revision: str  # of its schema


def version() -> str:
    """MLflow's, without importing it; "" where there is none."""
    with suppress(OSError):
        found = re.search(r'^VERSION = "(.+)"$', (_folder() / "version.py").read_text(), re.MULTILINE)
        return found[1] if found else ""
    return ""


def _folder() -> Path:
    """Where MLflow is installed."""
    spec = find_spec("mlflow")
    return Path(spec.origin or "").parent if spec else Path()


def ready() -> Made | None:
    """The database as the installed MLflow makes it, where it has been made before; imports nothing."""
    file = _file()
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        if connection.execute("PRAGMA quick_check").fetchone() == ("ok",):
            return Made(file, str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]))
    return None


def copy_to(target: Path) -> None:
    """Put an empty database there; nothing happens where there is a file already."""
    beside = [target.with_name(target.name + ending) for ending in ("-journal", "-wal")]
    if any(path.exists() for path in (target, *beside)):
        return
    with suppress(OSError, sqlite3.Error), _partial(target) as partial:
        shutil.copyfile(_template(), partial)
        os.link(partial, target)  # unlike a rename it never takes the place of what another process has made meanwhile


def _template() -> Path:
    """The database as MLflow makes it, made when it is first asked for."""
    if made := ready():
        return made.file
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
    from sqlalchemy import URL

    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with _partial(file) as partial:
        engine = create_sqlalchemy_engine(URL.create("sqlite", database=str(partial)).render_as_string())
        try:
            _initialize_tables(engine)
        finally:
            engine.dispose()
        partial.replace(file)
    return file


def _file() -> Path:
    """Its name says the version and the set of migrations: a version installed from its sources may have others."""
    names = sorted(path.name for path in (_folder() / "store" / "db_migrations" / "versions").glob("*.py"))
    migrations = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return cache_root() / f"mlflow-{version()}-{migrations}.db"


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """A name beside `file` that nobody else uses, gone at the end."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    partial.unlink(missing_ok=True)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
