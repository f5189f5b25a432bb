"""How often Python's garbage collector looks through what stays."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

YOUNG, MIDDLE, OLD = 200_000, 20, 100  # Python's own are 700, 10, 10: it looks through every trial again and again


def look_seldom() -> None:
    """In a process that is ours alone. Of 100,000 trials from another process, looking took two thirds of the time."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)


_lock = threading.Lock()
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
