"""Where on this machine is kept what would otherwise be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_root() -> Path:
    """A folder that may be deleted at any time: OPTIM_CACHE_DIR, else NUMBA_CACHE_DIR, else the user's cache folder."""
    for variable in ("OPTIM_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if folder := os.environ.get(variable):
            return Path(folder)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "optim"
