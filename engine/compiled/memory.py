"""Memory for arrays as long as the bars, allocated and freed with every backtest."""

from __future__ import annotations

import ctypes
import functools
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEPT = 512 << 20  # bytes of free memory that stay with the process
_LARGEST = 32 << 20  # of an array that is served from them: the most that glibc allows


@functools.lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let the process keep what a backtest frees, for the next one; False where the C library cannot (not glibc).

    Otherwise glibc may return it to the system each time and take it anew, page by page: a backtest of 1,000,000 bars
    then takes more than twice as long. It concerns the whole process; calling it again changes nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))
