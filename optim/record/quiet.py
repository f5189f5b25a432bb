"""Settings of the whole process, changed for a while: Optuna's messages, Python's warnings."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

import optuna

_lock = threading.Lock()
_users: list[int] = []  # the level to come back to, once for each search that runs


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Errors only, until the last of those who asked for quiet has ended; then as it was."""
    with _lock:
        _users.append(_users[0] if _users else optuna.logging.get_verbosity())
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        with _lock:
            level = _users.pop()
            if not _users:
                optuna.logging.set_verbosity(level)


_warnings = threading.RLock()


@contextlib.contextmanager
def no_warnings(message: str = "") -> Iterator[None]:
    """No warning that begins so; one thread at a time, or one would put back what another has set."""
    with _warnings, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message)
        yield
