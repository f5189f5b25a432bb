"""numpy's own loops, called from kernels: exp, log and sums with the very roundings of `np.exp`, `np.log` and `np.sum`.

numpy computes them with vector instructions of its own; the C library, which kernels have by themselves, differs in
the last digit. A ufunc's loops and where they are found is numpy's public C interface (`PyUFuncObject`).
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import config, outer

_UFUNCS = (np.exp, np.log, np.log1p, np.expm1, np.logaddexp, np.add, np.maximum)
EXP, LOG, LOG1P, EXPM1, LOGADDEXP, ADD, MAXIMUM = range(len(_UFUNCS))


class _Ufunc(ctypes.Structure):
    """The beginning of numpy's PyUFuncObject, after the head of every object."""

    _fields_ = (
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
    )


def _loop(ufunc: np.ufunc) -> tuple[int, int]:
    """The address of the loop over doubles, and of what it is to be given beside its operands.

    Raises LookupError where this numpy has another layout; what is not known to be a pointer is not followed.
    """
    at = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    counts = (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes)
    if (at.nin, at.nout, at.nargs, at.ntypes) != counts or at.name != ufunc.__name__.encode():
        raise LookupError(f"numpy {np.__version__} keeps its loops elsewhere")
    i = ufunc.types.index(f"{'d' * ufunc.nin}->{'d' * ufunc.nout}")
    return at.functions[i] or 0, at.data[i] or 0


@functools.lru_cache(maxsize=1)
def loops() -> Integers:
    """The loops of this process, for kernels: one row each, EXP to MAXIMUM. LookupError where they are not found."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise LookupError("addresses are taken to have 64 bits")
    return np.array([_loop(ufunc) for ufunc in _UFUNCS], dtype=np.int64)


def found() -> bool:
    """Whether this numpy's loops are where they are looked for."""
    try:
        return len(loops()) > 0
    except LookupError:
        return False


def _called(context: Any, loop: Any, data: Any, operands: Any, steps: Any, n: Any) -> Any:
    """Call a loop: its operands' addresses, in three int64, and the bytes from one value to the next."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loop, data, operands, steps, n = arguments
        pointer = ir.IntType(8).as_pointer()
        triples = [cgutils.pack_array(builder, cgutils.unpack_tuple(builder, three, 3)) for three in (operands, steps)]
        places, strides, count = (cgutils.alloca_once_value(builder, value) for value in (*triples, n))
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 4).as_pointer()
        given = [builder.bitcast(place, pointer) for place in (places, count, strides)]
        builder.call(builder.inttoptr(loop, kind), [*given, builder.inttoptr(data, pointer)])
        return context.get_dummy_value()

    three = types.UniTuple(types.int64, 3)
    return types.void(types.int64, types.int64, three, three, types.int64), generate


_call: Any = intrinsic(_called)


if config.DISABLE_JIT:

    def apply(loops: Integers, which: int, x: Array, out: Array) -> None:
        """What a ufunc of one argument gives for x goes to out, arrays of shape (n,) without gaps."""
        out[:] = getattr(np, _UFUNCS[which].__name__)(x)

    def logaddexp(loops: Integers, x: Array, y: Array) -> None:
        """x becomes np.logaddexp(x, y)."""
        x[:] = np.logaddexp(x, y)

    def reduce(loops: Integers, which: int, x: Array, out: Array) -> None:
        """out[0] becomes ADD: out[0] + x.sum(), MAXIMUM: the largest of out[0] and x."""
        out[0] = out[0] + x.sum() if which == ADD else np.maximum(out[0], x.max())

else:

    @outer
    def apply(loops: Integers, which: int, x: Array, out: Array) -> None:
        """What a ufunc of one argument gives for x goes to out, arrays of shape (n,) without gaps."""
        operands = (np.int64(x.ctypes.data), np.int64(out.ctypes.data), np.int64(0))
        _call(loops[which, 0], loops[which, 1], operands, (8, 8, 0), len(x))

    @outer
    def logaddexp(loops: Integers, x: Array, y: Array) -> None:
        """x becomes np.logaddexp(x, y)."""
        place = np.int64(x.ctypes.data)
        operands = (place, np.int64(y.ctypes.data), place)
        _call(loops[LOGADDEXP, 0], loops[LOGADDEXP, 1], operands, (8, 8, 8), len(x))

    @outer
    def reduce(loops: Integers, which: int, x: Array, out: Array) -> None:
        """out[0] becomes ADD: out[0] + x.sum(), MAXIMUM: the largest of out[0] and x."""
        place = np.int64(out.ctypes.data)
        operands = (place, np.int64(x.ctypes.data), place)
        _call(loops[which, 0], loops[which, 1], operands, (0, 8, 0), len(x))
