"""Locks that the kernel or a database gives back when their owner dies, however it dies."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SESSION_LOCKS = {  # how a database takes one that lives as long as the connection, and how it names that connection
    "postgresql": ("SELECT pg_try_advisory_lock(:key)", "SELECT pg_backend_pid()"),
    "mysql": ("SELECT GET_LOCK(CAST(:key AS CHAR), 0)", "SELECT CONNECTION_ID()"),
}


def owner() -> str:
    """This process, as another one is told of it."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


def dialect(database: Connection | Engine) -> str:
    """The kind of a database as `SESSION_LOCKS` has it, if it is one of those."""
    return database.dialect.name.replace("mariadb", "mysql")


def take_session_lock(connection: Connection, name: str) -> int | None:
    """The session that holds the lock `name` of a database from now on; None if another one does."""
    from sqlalchemy import text

    if dialect(connection) == "postgresql":  # a machine that vanishes without a word gives it back within a minute
        for setting in ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3"):
            connection.execute(text(f"SET {setting}"))
    else:  # a trial may take longer than the eight hours after which an idle connection is closed
        connection.execute(text("SET SESSION wait_timeout = 31536000"))
    take, session = SESSION_LOCKS[dialect(connection)]
    key = int.from_bytes(hashlib.sha256(f"optim/{name}".encode()).digest()[:8], "big", signed=True)
    if not connection.execute(text(take), {"key": key}).scalar():
        return None
    return int(connection.execute(text(session)).scalar_one())


def take_file_lock(path: Path) -> IO[str] | None:
    """The open file, which holds the lock until it is closed; None if another process does. Its text names the owner.

    The owner may remove the file while it holds it: a lock on a file that is not there any more does not count.
    """
    while True:
        handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed by whoever gives the lock back
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                handle.truncate(0)
                handle.write(owner())
                handle.flush()
                return handle
        except BlockingIOError:
            handle.close()
            return None
        except FileNotFoundError:
            pass
        handle.close()
