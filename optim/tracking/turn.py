"""One process at a time writes a study to MLflow: a mirror may outlive its coordinator, and the next one is there soon.

A store on disk is guarded by a lock on a file beside it, PostgreSQL and MySQL by a lock of their own. A server over
HTTP has none: there a file in this machine's temporary folder keeps its processes apart.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

from optim.errors import TrackingError
from optim.record.locks import SESSION_LOCKS, dialect, take_file_lock, take_session_lock
from optim.spec.uris import with_driver
from optim.tracking.rows import user_name
from optim.tracking.settings import MLflowSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection

TURN_SECONDS = 45.0  # seconds: a mirror without its coordinator is gone sooner (process.ORPHAN_SECONDS)
_LOOK = 0.2  # seconds between two attempts


class BusyError(TrackingError):
    """Another process is writing the study."""


class Turn:
    """The right to write one study to one MLflow."""

    def __init__(self, settings: MLflowSettings, study_id: str) -> None:
        self._settings = settings
        self._study_id = study_id
        self._file: IO[str] | None = None
        self._path = _lock_file(settings, study_id)
        self._connection: Connection | None = None

    def take(self, timeout: float = TURN_SECONDS, give_up: Callable[[], bool] = lambda: False) -> None:
        """Wait for the turn unless it is held already.

        Raises:
            BusyError: another process has it for longer than `timeout` seconds, or until `give_up`.
        """
        deadline = time.monotonic() + timeout
        while not self._take():
            if give_up() or time.monotonic() > deadline:
                who = self._path.read_text().strip() if self._path and self._path.exists() else ""
                raise BusyError(
                    f"another process{f' ({who})' if who else ''} is writing this study; wait for it or stop it first"
                )
            time.sleep(_LOOK)

    def release(self) -> None:
        """Give it to the next one."""
        if self._file is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take(self) -> bool:
        if self._path is None:
            return self._take_session()
        self._file = self._file or take_file_lock(self._path)
        return self._file is not None

    def _take_session(self) -> bool:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        if self._connection is not None:
            return True
        engine = create_engine(
            with_driver(self._settings.tracking_uri), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        if dialect(engine) not in SESSION_LOCKS:
            return True  # the run ids alone keep two processes from writing a trial twice
        connection = engine.connect()
        if take_session_lock(connection, f"mirror/{engine.url.database}/{self._study_id}") is None:
            connection.close()
            return False
        self._connection = connection
        return True


def _lock_file(settings: MLflowSettings, study_id: str) -> Path | None:
    """Where the lock lies; None for a database server, which has locks of its own."""
    if settings.kind == "sql" and not settings.sqlite_path:
        return None
    if settings.sqlite_path:
        return settings.sqlite_path.with_name(f".{settings.sqlite_path.name}.{_key(study_id)}.mirror")
    uri = settings.tracking_uri
    if settings.kind == "file" and (uri.startswith("file:") or "://" not in uri):
        return Path(unquote(uri.removeprefix("file://").removeprefix("file:"))) / f".{_key(study_id)}.mirror"
    return Path(tempfile.gettempdir()) / f"optim-{_key(f'{user_name()} {uri} {study_id}')}.mirror"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
