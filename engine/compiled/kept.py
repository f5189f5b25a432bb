"""Where numba keeps what it compiles: the engine's kernels by the engine's sources, one's own by what they are made of.

numba notices an edit of the file that a function stands in, not of the files whose constants and kernels it takes over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core import config as _config

from engine.compiled.cache import cache_root
from engine.compiled.frozen import frozen_in

config: Any = _config  # a module whose names are set while it runs

_ENGINE = Path(__file__).parents[1]
_states: dict[str, str] = {}  # of files that were loaded as a strategy's: a hash of all that they reach
_MARK = "_is_a_kernel"
_NUMBAS = (  # what numba asks by itself, in its order
    "UserProvidedCacheLocator",
    "InTreeCacheLocator",
    "UserWideCacheLocator",
    "IPythonCacheLocator",
    "ZipCacheLocator",
)


@lru_cache(maxsize=1)
def engine_hash() -> str:
    """Hash of every source file of the engine: a folder per state of them leaves no kernel stale."""
    return _hash_of(_ENGINE.rglob("*.py"), _ENGINE)


def know(states: Mapping[Path, str]) -> None:
    """From now on what numba caches of these files is kept for this state of all that they reach."""
    _states.update((str(path), state) for path, state in states.items())
    _ask_first()


def mark(function: Callable[..., Any]) -> None:
    """It is kept as the engine's kernels are, wherever it stands."""
    setattr(function, _MARK, True)
    _ask_first()


class Place(caching.UserProvidedCacheLocator):
    """numba's way to say where a function's machine code is kept; None where it is none of ours.

    Where the engine is installed does not matter: a virtual environment more compiles nothing anew.
    """

    def __init__(self, function: Callable[..., Any], file: str, folder: Path, state: str) -> None:
        self._py_file, self._lineno, self._state = file, function.__code__.co_firstlineno, state
        self._cache_path = str(folder)

    def get_source_stamp(self) -> tuple[Any, ...]:
        """What was kept under another one is not taken."""
        return super().get_source_stamp(), engine_hash(), self._state  # type: ignore[no-untyped-call]

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Place | None:
        """In the cache folder; beside the file where that cannot be written."""
        ours = _is_engine(function) or hasattr(function, _MARK) or str(Path(file).resolve()) in _states
        if not ours or not os.path.exists(file):
            return None
        state, beside = _state_of(function, file), Path(file).parent
        name = f"numba-{numba.__version__}-{beside.relative_to(_ENGINE)}" if _is_engine(function) else beside.name
        for folder in (cache_root() / f"kernels-{engine_hash()}" / state / name, beside / "__pycache__"):
            place = cls(function, file, folder, state)
            try:
                place.ensure_cache_path()  # type: ignore[no-untyped-call]
            except OSError:
                continue
            return place
        return None


def _state_of(function: Callable[..., Any], file: str) -> str:
    """Empty for the engine, whose folder has its state in its name."""
    if _is_engine(function):
        return ""
    state = _states.get(str(Path(file).resolve()), "") or _package_hash(file)
    said = f"{numba.__version__} {function.__module__} {state} {frozen_in(function, ends=_is_engine)}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _package_hash(file: str) -> str:
    """Of all files of the folder, where they are a package; else of where the file is: numba looks at what is in it."""
    folder = Path(file).resolve().parent
    return _hash_of(folder.glob("*.py"), folder) if (folder / "__init__.py").exists() else str(folder)


def _hash_of(files: Any, folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_engine(function: Callable[..., Any]) -> bool:
    return Path(function.__code__.co_filename).is_relative_to(_ENGINE)


def _ask_first() -> None:
    """Let numba ask `Place` before those that it asks anyway, about whatever it compiles."""
    asked = [name for name in config.CACHE_LOCATOR_CLASSES.split(",") if name]
    first = f"{__name__}.{Place.__name__}"
    if first not in asked:
        others = asked or [name for name in _NUMBAS if hasattr(caching, name)]
        config.CACHE_LOCATOR_CLASSES = ",".join([first, *others])
