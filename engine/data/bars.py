"""Bars: the open, high, low, close and volume of one instrument, validated once and never written again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import DataError


class Bars(NamedTuple):
    """OHLCV of one instrument: read-only, C-order, all of shape (n_bars,), oldest first."""

    timestamp: NDArray[np.int64]  # nanoseconds since 1970, UTC
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def make_bars(timestamp: ArrayLike, *prices: ArrayLike) -> Bars:
    """Copy, freeze and validate timestamp, open, high, low, close, volume, each of shape (n_bars,).

    Raises DataError naming the first bad row and why.
    """
    bars = Bars(_frozen(timestamp, np.int64), *(_frozen(column, np.float64) for column in prices))
    check_bars(bars)
    return bars


def slice_bars(bars: Bars, start: int, stop: int) -> Bars:
    """The bars start <= t < stop, as views."""
    if start == 0 and stop == len(bars.close):
        return bars
    times, open_, high, low, close, volume = bars
    part = slice(start, stop)
    return Bars(times[part], open_[part], high[part], low[part], close[part], volume[part])


def check_bars(bars: Bars) -> None:
    """Refuse bars that cannot be traded: DataError with the row (counted from 1) and the reason."""
    n_bars = len(bars.timestamp)
    if any(column.shape != (n_bars,) for column in bars):
        raise DataError(f"all columns must have one length, but got {[column.shape for column in bars]}")
    if n_bars < 2:
        raise DataError(f"a backtest needs at least 2 bars, but got {n_bars}")
    for name in ("open", "high", "low", "close"):
        price = getattr(bars, name)
        _refuse(np.isnan(price), f"{name} is missing (NaN)", price)
        _refuse(np.isinf(price), f"{name} is infinite", price)
        _refuse(price <= 0, f"{name} is not above zero", price)
    _refuse(~np.isfinite(bars.volume), "volume is missing or infinite", bars.volume)
    _refuse(bars.volume < 0, "volume is negative", bars.volume)
    _refuse(bars.high < bars.low, "high is below low", bars.high)
    for name in ("open", "close"):
        price = getattr(bars, name)
        _refuse((price < bars.low) | (price > bars.high), f"{name} is outside [low, high]", price)
    step = np.diff(bars.timestamp, prepend=bars.timestamp[0] - 1)
    times = bars.timestamp.astype("datetime64[ns]")
    _refuse(step == 0, "its timestamp is that of the row before (duplicate)", times)
    _refuse(step < 0, "its timestamp is before that of the row before (not sorted)", times)


def _frozen(column: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.array(column, dtype=dtype, order="C")
    array.setflags(write=False)  # kernels are compiled for read-only arrays, which joblib's memmaps are too
    return array


def _refuse(bad: NDArray[np.bool_], reason: str, values: NDArray[Any]) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"row {row + 1}: {reason}, got {values[row]}")
