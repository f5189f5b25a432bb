"""One coordinator per study: a lock that the kernel or the database releases when its owner dies, however it dies.

A journal or SQLite file is guarded by an advisory lock on a file beside it, PostgreSQL and MySQL by an advisory lock of
their own, which lives as long as the connection that holds it. No heartbeat, no stale lock to wait for.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from optim.errors import RecordError
from optim.record.files import foreign_record, is_append_lock, writer_file
from optim.record.journal import append_lock, repair_tail
from optim.record.locks import SESSION_LOCKS, dialect, owner, take_session_lock
from optim.record.record import OWNER, file_of, load_record
from optim.spec.secrets import mask, mask_uri
from optim.spec.uris import is_url, with_driver


@contextlib.contextmanager
def sole_writer(storage: str, name: str) -> Iterator[Callable[[], None]]:
    """Hold the study alone: RecordError with the pid and host of the first for a second coordinator.

    Gives a function that raises RecordError when the lock was lost meanwhile. A torn tail of a journal is repaired.
    """
    if is_url(storage) and not storage.startswith("sqlite:"):
        with _database_lock(storage, name) as still_held:
            yield still_held
        return
    path = file_of(storage) or Path(storage)
    if reason := foreign_record(storage, name):
        raise RecordError(f"[study] storage = '{storage}': {reason}")
    with _file_lock(path, name) as crashed:
        if not is_url(storage):
            if crashed:
                _drop_dead_lock(path, name)
            with append_lock(storage):
                repair_tail(path)
        yield lambda: None


@contextlib.contextmanager
def _file_lock(storage: Path, name: str) -> Iterator[bool]:
    """Whether the one who held it before did not come to its end."""
    path = writer_file(storage, name)  # stays behind: to delete it is to let two hold it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below, with the lock
    except OSError as error:
        raise RecordError(
            f"[study] storage = '{storage}' cannot be written: {error.strerror}; choose another folder"
        ) from None
    with handle:
        handle.seek(0)
        before = handle.read().strip()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _refuse(name, before)
        handle.truncate(0)
        handle.write(owner())
        handle.flush()
        try:
            yield bool(before)
        finally:
            handle.truncate(0)


def _drop_dead_lock(journal: Path, name: str) -> None:
    """Remove the append lock that a killed coordinator may have left: the next append would wait for it.

    It stays where a coordinator of another study in the same journal is alive: then it may be that one's.
    """
    for path in journal.parent.glob(f".{glob.escape(journal.name)}.*.writer"):
        if path == writer_file(journal, name):
            continue
        with path.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return
    lock = journal.with_name(f"{journal.name}.lock")
    if is_append_lock(lock, journal):
        lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _database_lock(storage: str, name: str) -> Iterator[Callable[[], None]]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(with_driver(storage), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        kind = dialect(engine)
        if kind not in SESSION_LOCKS:
            raise RecordError(f"[study] storage: no support for {kind}; use a file, SQLite, PostgreSQL or MySQL")
        connection = engine.connect()
    except ImportError as error:
        raise RecordError(
            f"the record {mask_uri(storage)} needs a driver ({error}): pip install 'optim[postgres]' or 'optim[mysql]'"
        ) from None
    except (SQLAlchemyError, ValueError) as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())  # one line, without SQLAlchemy's own links
        raise RecordError(f"the record {mask_uri(storage)} cannot be opened: {mask(said, storage)}") from error
    with connection:
        session = take_session_lock(connection, f"{engine.url.database}/{name}")
        if session is None:
            record = load_record(storage, name)
            _refuse(name, str(record.study.user_attrs.get(OWNER, "")) if record else "")

        def still_held() -> None:
            try:
                if connection.execute(text(SESSION_LOCKS[kind][1])).scalar() == session:
                    return
            except SQLAlchemyError:
                pass
            raise RecordError(
                f"the connection to {mask_uri(storage)} that guards study {name!r} was lost; "
                "every recorded trial is safe: run the same command to resume"
            )

        yield still_held


def _refuse(name: str, who: str) -> NoReturn:
    raise RecordError(f"study {name!r} is being run by {who or 'another process'}; wait for it or stop it first")
