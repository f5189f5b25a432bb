"""Results of kernels on the same columns, kept between backtests: 1,225 pairs of windows need 50 means, not 2,450."""

from __future__ import annotations

import functools
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import numpy as np
from numba.extending import typeof_impl
from numpy.typing import NDArray

from engine.compiled.arrays import Array
from engine.compiled.each import Each, Table
from engine.compiled.jit import kernel

Function = TypeVar("Function", bound=Callable[..., Any])
ROOM = 64 << 20  # bytes of results that are kept
_TABLES = 4  # of results for many numbers, of TABLE bytes each: as much again as ROOM
_PLAIN = (int, float, str, np.generic)
_NOTED = 10_000  # what was asked for once and could be done without, as far as it is remembered
_TRIED, _WORTH = 256, 16  # after so many results, fewer than one in so many asked for again: nothing more is kept


class Shared:
    """Results of indicators on some columns, kept as long as it lives; a context in whose thread they are shared.

    columns: arrays that nobody changes. Only what is computed of them, of parts of them, and of plain numbers, is kept.
    Whoever calls an indicator gets a copy, so that a strategy may write into what it was given. Safe in threads.
    """

    def __init__(self, columns: Iterable[NDArray[Any]], room: int = ROOM) -> None:
        self._columns = tuple(columns)  # alive, so that no other array gets the place of one of them
        self._known = frozenset(map(id, self._columns))
        places = sorted((_place(one), _place(one) + one.nbytes) for one in self._columns)
        self._starts, self._stops = [start for start, _ in places], [stop for _, stop in places]
        self._results: dict[Any, Any] = {}  # in the order they were made
        self._asked: set[Any] = set()
        self._tables: dict[Any, Table] = {}
        self._room, self._used = room, 0
        self._found, self._made = 0, 0
        self._lock = threading.Lock()

    def __enter__(self) -> Shared:
        _active.stack.append(_active.shared)
        _active.shared = self
        return self

    def __exit__(self, *_: object) -> None:
        _active.shared = _active.stack.pop()

    def result(self, indicator: Any, arguments: tuple[Any, ...], *, at_once: bool = True) -> Any:
        """indicator(*arguments), computed once; not a copy.

        Without `at_once`, None the first time it is asked for, and where there is no room to keep it.
        """
        key: list[Any] = [indicator]
        for one in arguments:
            if id(one) in self._known:
                key.append(id(one))
            elif isinstance(one, _PLAIN):
                key += (one, type(one))
            elif isinstance(one, np.ndarray) and (place := self._part(one)) is not None:
                key += place
            else:
                return indicator.kernel(*arguments) if at_once else None
        name = tuple(key)
        found = self._results.get(name)
        if found is not None:
            self._found += 1
            return found
        if not at_once and (name not in self._asked or self._used + arguments[0].nbytes > self._room):
            if len(self._asked) >= _NOTED:
                self._asked.clear()
            self._asked.add(name)
            return None
        found = indicator.kernel(*arguments)
        self._keep(name, found)
        return found

    def each(self, indicator: Any, column: Array, numbers: NDArray[Any]) -> Each:
        """indicator(column, number) for each number of an int64 or float64 array, computed once if there is room."""
        place = id(column) if id(column) in self._known else self._part(column)
        if place is None:
            return Table().each(indicator, column, numbers)
        name = (indicator, place, numbers.dtype.char)
        with self._lock:
            table = self._tables.pop(name, None) or Table()
            self._tables[name] = table  # the one used last comes last
            if len(self._tables) > _TABLES:
                self._tables.pop(next(iter(self._tables)))
        return table.each(indicator, column, numbers)

    def _part(self, array: NDArray[Any]) -> tuple[int, int, str] | None:
        """Where a piece of a column begins, its length and type; None for any other array."""
        if array.flags.writeable or not array.flags.c_contiguous or array.ndim != 1:
            return None
        start = _place(array)
        i = bisect_right(self._starts, start) - 1
        return (start, len(array), array.dtype.char) if i >= 0 and start + array.nbytes <= self._stops[i] else None

    def _keep(self, name: Any, result: Any) -> None:
        size = _bytes(result)
        with self._lock:
            self._made += 1
            if self._made > _TRIED and self._found * _WORTH < self._made:
                self._results.clear()
                self._asked.clear()
                self._used = 0
                return
            while self._results and self._used + size > self._room:
                self._used -= _bytes(self._results.pop(next(iter(self._results))))
            if size <= self._room and name not in self._results:
                self._results[name] = result
                self._used += size


def _place(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _bytes(result: Any) -> int:
    return sum(one.nbytes for one in result) if isinstance(result, tuple) else int(result.nbytes)


class _Active(threading.local):
    def __init__(self) -> None:
        self.shared: Shared | None = None
        self.stack: list[Shared | None] = []  # of the contexts around it


_active = _Active()


def sharing() -> Shared | None:
    """What results are shared in, in this thread."""
    return _active.shared


class Indicator:
    """A kernel that, called from Python, shares its results; in other kernels it is the kernel itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.kernel = kernel(function)
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        shared = _active.shared
        if shared is None or named:
            return self.kernel(*arguments, **named)
        found = shared.result(self, arguments)
        return tuple(one.copy() for one in found) if isinstance(found, tuple) else found.copy()


def for_each(indicator: Any, column: Array, numbers: NDArray[Any]) -> Each:
    """indicator(column, number) for each number of an array of shape (k,).

    column: (n_bars,). The indicator must return one array of that shape. In a sweep what was computed is kept, of up to
    four indicators and columns, 16 MB each; what is returned cannot be written to.
    """
    whole = np.ascontiguousarray(numbers, np.int64 if np.issubdtype(numbers.dtype, np.integer) else np.float64)
    return (_active.shared or Shared(())).each(indicator, column, whole)


@typeof_impl.register(Indicator)
def _as_its_kernel(indicator: Indicator, context: Any) -> Any:
    return typeof_impl(indicator.kernel, context)


def indicator(function: Function) -> Function:
    """Compile a function of arrays and numbers to a kernel whose results are shared between backtests.

    It must return an array, or a tuple of arrays, that depend on nothing but its arguments.
    """
    return cast("Function", Indicator(function))
