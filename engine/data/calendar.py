"""Instruments on one calendar: the times that all have, or the union of their times with a mark where a bar is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.compiled.arrays import Array, Integers
from engine.data.bars import TRADED, Bars, bars_with, detail_of, features_of, freeze, plain_bars, take
from engine.data.detail import NOT_TOGETHER
from engine.errors import DataError

BAR, NO_BAR, OVER = 1.0, 0.0, -1.0  # the mark TRADED of bars on a union of calendars is one of the three


def common(instruments: Sequence[Bars]) -> tuple[Bars, ...]:
    """Keep the bars whose timestamp every instrument has; DataError when fewer than two are left."""
    times = instruments[0].timestamp
    for bars in instruments[1:]:
        times = np.intersect1d(times, bars.timestamp, assume_unique=True)
    if len(times) < 2:
        raise DataError("the instruments share fewer than 2 timestamps")
    return tuple(freeze(take(bars, np.isin(bars.timestamp, times, assume_unique=True))) for bars in instruments)


def union(instruments: Sequence[Bars]) -> tuple[Bars, ...]:
    """The instruments on all of their times, in one array that they share; as they are where all have the same.

    A bar that an instrument has not is open = high = low = close = its last close, features as they were, volume 0;
    before its first bar all are NaN. The feature `traded`, beside those it has, is BAR where there is a bar, OVER
    after its last one, NO_BAR elsewhere. Raises DataError where bars are on another union already, or have detail.
    """
    if len(instruments) > 1 and any(detail_of(bars) is not None for bars in instruments):
        raise DataError(NOT_TOGETHER)
    first = instruments[0].timestamp
    if all(np.array_equal(bars.timestamp, first) for bars in instruments[1:]):
        return tuple(instruments)
    if any(is_marked(bars) for bars in instruments):
        raise DataError("some of the instruments are on another union of calendars; give union their own bars")
    times = np.unique(np.concatenate([bars.timestamp for bars in instruments]))
    times.setflags(write=False)
    found = []
    for bars in instruments:
        mark = np.full(len(times), NO_BAR)
        place = np.searchsorted(times, bars.timestamp)
        mark[place] = BAR
        mark[place[-1] + 1 :] = OVER
        found.append(_placed(bars, times, mark))
    return tuple(found)


def is_marked(bars: Bars) -> bool:
    """Whether the bars are on a union of calendars."""
    return TRADED in bars._fields


def mark_of(bars: Bars) -> Array:
    """BAR, NO_BAR or OVER for each bar, shape (n_bars,); empty where every bar is one."""
    return np.asarray(getattr(bars, TRADED)) if is_marked(bars) else np.empty(0)


def own_bars(bars: Bars) -> Bars:
    """The bars that an instrument has itself, without mark: views where they are in one piece. There may be none."""
    if not is_marked(bars):
        return bars
    features = features_of(bars)
    here = np.flatnonzero(features.pop(TRADED) == BAR)
    in_one_piece = len(here) == 0 or here[-1] - here[0] + 1 == len(here)
    rows = slice(*((here[0], here[-1] + 1) if len(here) else (0, 0))) if in_one_piece else here
    columns: list[Any] = [column[rows] for column in (*plain_bars(bars), *features.values())]
    for column in columns:
        column.setflags(write=False)  # kernels are compiled for read-only arrays
    return bars_with(tuple(features))(*columns)


def on_calendar(values: Array, bars: Bars, before: float = 0.0) -> Array:
    """Values of own bars on the calendar of `bars`, shape (n_bars,): the last one stands, `before` before the first."""
    if not is_marked(bars):
        return values
    last = _last_bars(mark_of(bars))
    return np.where(last < 0, before, values[last])


def on_own_bars(instruments: Sequence[Bars], change: Callable[[tuple[Bars, ...]], Sequence[Bars]]) -> tuple[Bars, ...]:
    """The instruments with their own bars changed, at the times they had: where there is no bar, there is none after.

    change: own bars of instruments -> the same numbers of bars. Instruments with fewer than three stay as they are.
    """
    if not any(is_marked(bars) for bars in instruments):
        return tuple(change(tuple(instruments)))
    own = [own_bars(bars) for bars in instruments]
    long = [i for i, bars in enumerate(own) if len(bars.close) > 2]
    found = list(instruments)
    for i, bars in zip(long, change(tuple(own[i] for i in long)) if long else (), strict=True):
        found[i] = _placed(bars, instruments[i].timestamp, mark_of(instruments[i]))
    return tuple(found)


def _last_bars(mark: Array) -> NDArray[np.intp]:
    """The number of the last own bar at each bar, -1 before the first."""
    return np.cumsum(mark == BAR) - 1


def _placed(bars: Bars, times: Integers, mark: Array) -> Bars:
    """Own bars on a calendar, by their mark."""
    last, here = _last_bars(mark), mark == BAR

    def stands(column: Array) -> Array:
        return np.where(last < 0, np.nan, column[last])

    close = stands(bars.close)
    open_, high, low = (np.where(here, stands(column), close) for column in (bars.open, bars.high, bars.low))
    volume = np.where(here, stands(bars.volume), 0.0)
    features = {name: stands(column) for name, column in features_of(bars).items()}
    columns: list[Any] = [times, open_, high, low, close, volume, *features.values(), mark]
    for column in columns:
        column.setflags(write=False)
    return bars_with((*features, TRADED))(*columns)
