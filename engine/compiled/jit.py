"""The one place that names numba options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from engine.compiled.kept import config, mark

__all__ = ["config", "inner", "kernel", "outer", "part"]

Function = TypeVar("Function", bound=Callable[..., object])


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
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    options["cache"] = Path(function.__code__.co_filename).is_file()  # one typed into a shell has none to be kept for
    mark(function)
    return cast("Function", numba.njit(**options)(function))
