"""Bars of several instruments as one table, and what holding all of them brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.data.bars import Bars
from engine.data.calendar import BAR, mark_of
from engine.data.income import income_of
from engine.errors import DataError


class Panel(NamedTuple):
    """Bars of k instruments over the same timestamps; prices, volume and mark of shape (k, n_bars)."""

    timestamp: Integers
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    traded: Array  # BAR where there is a bar (engine.data.calendar); (k, 0): everywhere
    income: Array  # what holding into each bar brings (engine.data.income); (k, 0): nothing


def make_panel(instruments: Sequence[Bars]) -> Panel:
    """Stack bars that have the same timestamps, or are on one calendar; DataError names the first that differ."""
    first = instruments[0].timestamp
    for i, bars in enumerate(instruments):
        if not np.array_equal(bars.timestamp, first):
            raise DataError(
                f"a portfolio needs the same timestamps in every instrument, but those of instrument {i} differ from "
                "those of the first; engine.data.calendar.union puts them on one calendar, common keeps the common ones"
            )
    columns = (np.stack([getattr(bars, name) for bars in instruments]) for name in Bars._fields[1:])
    marks = [mark_of(bars) for bars in instruments]
    holes = any((mark != BAR).any() for mark in marks)
    traded = np.stack(marks) if holes else np.empty((len(marks), 0))
    return Panel(first, *columns, traded, _incomes(instruments, traded))  # type: ignore[call-arg]


def _incomes(instruments: Sequence[Bars], traded: Array) -> Array:
    """The income of each, 0 where it has no bar; (k, 0) where none has any."""
    found = [income_of(bars) for bars in instruments]
    if all(income is None for income in found):
        return np.empty((len(found), 0))
    nothing = np.zeros(len(instruments[0].timestamp))
    incomes = np.stack([nothing if income is None else income for income in found])
    return np.where(traded == BAR, incomes, 0.0) if traded.size else incomes


def equal_parts(close: Array) -> Array:
    """The price of holding all in equal parts from the first bar on, shape (n_bars,).

    close: (k, n_bars). The part of an instrument that is not listed yet waits as cash for its first close.
    """
    start, unknown = close[:, :1], np.isnan(close[:, 0])
    if not unknown.any():
        return np.asarray((close / start).mean(axis=0))
    start = close[np.arange(len(close)), np.argmax(~np.isnan(close), axis=1)][:, None]
    grown = close / start
    return np.asarray(np.where(np.isnan(grown), 1.0, grown).mean(axis=0))
