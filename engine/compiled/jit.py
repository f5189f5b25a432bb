"""The one place that names numba options and the folder where compiled kernels are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as _config

from engine.compiled.cache import cache_root
from engine.compiled.frozen import frozen_in

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


def _kernels() -> Path:
    return cache_root() / f"kernels-{engine_hash()}"


def _is_engine(function: Callable[..., object]) -> bool:
    return Path(function.__code__.co_filename).is_relative_to(_ENGINE)


def _cache_folder(function: Callable[..., object]) -> Path:
    """Of a kernel of one's own: one per state of its file, its module, and what else compiling it takes over."""
    if _is_engine(function):
        return _kernels()
    content = Path(function.__code__.co_filename).read_bytes()
    state = f"{function.__module__} {frozen_in(function, ends=_is_engine)} ".encode() + content
    return _kernels() / hashlib.sha256(state).hexdigest()[:16]


@contextmanager
def cached_in(folder: Path) -> Iterator[None]:
    """Where numba keeps what is decorated meanwhile; it reads that once, and no argument for it exists."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def cached_for(state: str) -> AbstractContextManager[None]:
    """Keep what numba's own `njit(cache=True)` compiles, decorated meanwhile, for this state of the code alone."""
    return cached_in(_kernels() / state)


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
    with cached_in(_cache_folder(function)) if options["cache"] else nullcontext():
        compiled = numba.njit(**options)(function)
    return cast("Function", compiled)
