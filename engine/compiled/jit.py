"""The one place that names numba options and the folder where compiled kernels are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as _config

from engine.compiled.cache import cache_root

Function = TypeVar("Function", bound=Callable[..., object])

config: Any = _config  # a module whose names are set while it runs

_ENGINE = Path(__file__).parents[1]


@lru_cache(maxsize=1)
def engine_hash() -> str:
    """Hash of every source file of the engine.

    numba notices an edit of the file a kernel stands in, not of the files whose kernels it calls; a folder per state of
    the sources leaves no kernel stale.
    """
    digest = hashlib.sha256()
    for path in sorted(_ENGINE.rglob("*.py")):
        digest.update(path.relative_to(_ENGINE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder(source: Path) -> Path:
    folder = cache_root() / f"kernels-{engine_hash()}"
    if source.is_relative_to(_ENGINE):
        return folder
    content = source.read_bytes() if source.is_file() else b""
    return folder / hashlib.sha256(content).hexdigest()[:16]


def kernel(function: Function) -> Function:
    """Compile a function to a cached machine-code kernel that runs without the interpreter lock.

    No fastmath: the kernel equals the plain Python function bit for bit, which `NUMBA_DISABLE_JIT=1` runs instead.
    """
    return _compiled(function)


def inner(function: Function) -> Function:
    """A kernel that only kernels call and that allocates nothing.

    It becomes a part of its caller, counts no references and has no entry for Python: `python -m benchmarks
    engine_sweep` shows orders at half the cost, `engine_start` compiles a quarter faster.
    """
    return _compiled(function, _nrt=False, no_cpython_wrapper=True, forceinline=True)


def outer(function: Function) -> Function:
    """An `inner` kernel for what happens seldom: called, so that its code is not in the way of the rest."""
    return _compiled(function, _nrt=False, no_cpython_wrapper=True)


def part(function: Function) -> Function:
    """A kernel that only kernels call and that allocates: without an entry for Python, which takes long to compile."""
    return _compiled(function, no_cpython_wrapper=True)


def _compiled(function: Function, **options: Any) -> Function:
    if config.DISABLE_JIT:
        return function
    source = Path(function.__code__.co_filename)
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    options["cache"] = source.is_file()  # a function typed into a shell has no file: there is nothing to key a cache by
    before = config.CACHE_DIR
    config.CACHE_DIR = str(_cache_folder(source))  # read once, by the decorator; no argument for it exists
    try:
        compiled = numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before
    return cast("Function", compiled)
