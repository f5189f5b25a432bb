"""An indicator of one column for many numbers: a table with a row for each, which threads fill side by side."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled.arrays import Array, Integers

TABLE = 16 << 20  # bytes of a table, or as many as one call asks for


class Each(NamedTuple):
    """An indicator of one column for many numbers: that of the i-th is results[at[i]], of shape (n_bars,)."""

    results: Array  # (room, n_bars), of which only the rows in `at` are filled for sure
    at: Integers  # (k,)


class Table:
    """Results of one indicator of one column, each computed once, by the thread that comes to it first."""

    def __init__(self) -> None:
        self._rows = _Rows(np.empty((0, 0)))
        self._lock = threading.Lock()

    def each(self, indicator: Any, column: Array, numbers: NDArray[Any]) -> Each:
        """numbers: int64 or float64. Raises what the indicator raises."""
        names = numbers.view(np.int64).tolist()  # by their bits: -0.0 is another number than 0.0
        rows = self._rows
        if not rows.done.issuperset(names):
            wanted = dict(zip(names, numbers.tolist(), strict=True))
            rows = self._with_room(wanted, column)
            rows.fill(indicator, column, wanted)
        return Each(rows.shown, np.array([rows.place[name] for name in names], np.int64))

    def _with_room(self, wanted: dict[int, Any], column: Array) -> _Rows:
        """Rows in which all that is wanted has its place: new ones where it finds none in those that there are."""
        with self._lock:
            if not self._rows.take_in(wanted):
                self._rows = _Rows(np.empty((max(TABLE // max(column.nbytes, 1), len(wanted)), len(column))))
                self._rows.take_in(wanted)
            return self._rows


class _Rows:
    def __init__(self, results: Array) -> None:
        self.place: dict[int, int] = {}  # which row is each number's
        self.done: set[int] = set()
        self.shown = results.view()
        self.shown.flags.writeable = False
        self._results = results
        self._open: set[int] = set()  # what no thread computes yet
        self._changed = threading.Condition()

    def take_in(self, wanted: dict[int, Any]) -> bool:
        """Give each number a row; False if there are too few."""
        with self._changed:
            new = [name for name in wanted if name not in self.place]
            if len(self.place) + len(new) > len(self._results):
                return False
            self.place |= zip(new, range(len(self.place), len(self._results)), strict=False)
            self._open.update(new)
            return True

    def fill(self, indicator: Any, column: Array, wanted: dict[int, Any]) -> None:
        """Compute what no other thread does, and wait for the rest; what fails elsewhere is tried again here."""
        while not self.done.issuperset(wanted):
            mine: set[int] = set()
            try:
                for name, number in wanted.items():
                    if self._claim(name, mine):
                        self._results[self.place[name]] = indicator.kernel(column, number)
                        with self._changed:
                            self.done.add(name)
                            self._changed.notify_all()
            finally:
                with self._changed:
                    self._open |= mine - self.done
                    self._changed.notify_all()
            with self._changed:
                self._changed.wait_for(lambda: all(name in self.done or name in self._open for name in wanted))

    def _claim(self, name: int, mine: set[int]) -> bool:
        with self._changed:
            if name not in self._open:
                return False
            mine.add(name)  # before it is taken: whatever interrupts here, it is given back
            self._open.remove(name)
            return True
