"""Settings of the whole process, changed for a while: Optuna's messages, Python's warnings, its garbage collector."""

from __future__ import annotations

import contextlib
import gc
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


_loading: list[bool] = []  # whether it was on, once for each load that runs


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collector while many objects are made that stay; then as it was.

    It looks through all trials again and again while they are loaded: half of the time of twenty thousand.
    """
    with _lock:
        _loading.append(_loading[0] if _loading else gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            enabled = _loading.pop()
            if enabled and not _loading:
                if not gc.get_freeze_count():  # what was made counts as old: the collector need not look at it at once
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()
