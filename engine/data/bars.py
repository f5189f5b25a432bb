"""Bars: the open, high, low, close and volume of one instrument, validated once and never written again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MOST_FAULTS, DataError, Fault, refused


class Bars(NamedTuple):
    """OHLCV of one instrument: read-only, C-order, all of shape (n_bars,), oldest first."""

    timestamp: NDArray[np.int64]  # nanoseconds since 1970, UTC
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def make_bars(timestamp: ArrayLike, *prices: ArrayLike, rows: NDArray[np.int64] | None = None) -> Bars:
    """Copy, freeze and validate timestamp, open, high, low, close, volume, each of shape (n_bars,).

    rows: the number of each bar in its source, shape (n_bars,); counted from 1 when None.
    Raises DataError naming the first bad row and why; its faults are all bad rows.
    """
    bars = Bars(_frozen(timestamp, np.int64), *(_frozen(column, np.float64) for column in prices))
    check_bars(bars, rows)
    return bars


def slice_bars(bars: Bars, start: int, stop: int) -> Bars:
    """The bars start <= t < stop, as views."""
    if start == 0 and stop == len(bars.close):
        return bars
    times, open_, high, low, close, volume = bars
    part = slice(start, stop)
    return Bars(times[part], open_[part], high[part], low[part], close[part], volume[part])


def check_bars(bars: Bars, rows: NDArray[np.int64] | None = None) -> None:
    """Refuse bars that cannot be traded: DataError with the row (counted from 1) and the reason."""
    n_bars = len(bars.timestamp)
    if any(column.shape != (n_bars,) for column in bars):
        raise DataError(f"all columns must have one length, but got {[column.shape for column in bars]}")
    if n_bars < 2:
        raise DataError(f"a backtest needs at least 2 bars, but got {n_bars}")
    found: dict[int, str] = {}  # the first reason of each bar
    for bad, reason, values in _rules(bars):
        if bad.any():
            for i in np.flatnonzero(bad)[:MOST_FAULTS]:
                found.setdefault(int(i), f"{reason}, got {values[i]}")
    if found:
        number = np.arange(1, n_bars + 1) if rows is None else rows
        faults = [Fault(int(number[i]), reason) for i, reason in found.items()]
        raise DataError(refused(faults).args[0], sorted(faults)[:MOST_FAULTS])


def _rules(bars: Bars) -> Iterator[tuple[NDArray[np.bool_], str, NDArray[Any]]]:
    """Which bars break a rule, shape (n_bars,), what is wrong with them, and the values that show it."""
    for name in ("open", "high", "low", "close"):
        price = getattr(bars, name)
        yield np.isnan(price), f"{name} is missing (NaN)", price
        yield np.isinf(price), f"{name} is infinite", price
        yield price <= 0, f"{name} is not above zero", price
    yield ~np.isfinite(bars.volume), "volume is missing or infinite", bars.volume
    yield bars.volume < 0, "volume is negative", bars.volume
    yield bars.high < bars.low, "high is below low", bars.high
    for name in ("open", "close"):
        price = getattr(bars, name)
        yield (price < bars.low) | (price > bars.high), f"{name} is outside [low, high]", price
    step = np.diff(bars.timestamp, prepend=bars.timestamp[0] - 1)
    times = bars.timestamp.astype("datetime64[ns]")
    yield step == 0, "its timestamp is that of the row before (duplicate)", times
    yield step < 0, "its timestamp is before that of the row before (not sorted)", times


def _frozen(column: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.array(column, dtype=dtype, order="C")
    array.setflags(write=False)  # kernels are compiled for read-only arrays, which joblib's memmaps are too
    return array
