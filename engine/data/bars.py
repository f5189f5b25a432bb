"""Bars: the open, high, low, close and volume of one instrument, and features beside them.

They are validated once and never written again.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from keyword import iskeyword
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MOST_FAULTS, DataError, Fault, refused, worst


class Bars(NamedTuple):
    """OHLCV of one instrument: read-only, C-order, all of shape (n_bars,), oldest first."""

    timestamp: NDArray[np.int64]  # nanoseconds since 1970, UTC
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


_OHLCV = len(Bars._fields)
DETAIL = "detail"  # the name of the finer bars inside each bar (engine.data.detail)
TRADED = "traded"  # the name of the mark of bars on a union of calendars (engine.data.calendar)
INCOME = "holding_income"  # the name of what holding them brings (engine.data.income)
_KIND = "Bars with "  # begins the name of every type of bars with features


@lru_cache(maxsize=256)
def bars_with(features: tuple[str, ...]) -> type[Bars]:
    """The type of bars that have these features: further float64 arrays of shape (n_bars,), NaN allowed.

    Their values at a bar are known at its close. Where there are none it is Bars itself. Raises DataError for a name
    that Python cannot read as `bars.name`.
    """
    if not features:
        return Bars
    for name in features:
        if not name.isidentifier() or iskeyword(name) or name.startswith("_") or hasattr(Bars, name):
            raise DataError(f"{name!r} cannot be the name of a feature: it must be readable as bars.{name}")
    made = cast(Any, namedtuple)("Features", (*Bars._fields, *features))
    made.__module__, made.__name__ = __name__, _KIND + ",".join(features)
    made.__qualname__ = made.__name__
    return cast(type[Bars], made)


def __getattr__(name: str) -> Any:
    """Types of bars with features by their names: pickles and kernels in a cache find them in another process."""
    if name.startswith(_KIND):
        return bars_with(tuple(name.removeprefix(_KIND).split(",")))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_bars(value: object) -> bool:
    """Whether these are the bars of one instrument, with features or without."""
    return getattr(value, "_fields", ())[:_OHLCV] == Bars._fields


def features_of(bars: Bars) -> dict[str, NDArray[np.float64]]:
    """The features by name; detail is none."""
    columns: tuple[Any, ...] = bars[_OHLCV:]
    return {name: column for name, column in zip(bars._fields[_OHLCV:], columns, strict=True) if column.ndim == 1}


def detail_of(bars: Bars, first: int = 0) -> NDArray[np.float64] | None:
    """The finer bars inside each of bars[first:], (n_bars, most in a bar, 3): open, high, low, NaN after the last.

    engine.data.detail puts them there. None where there are none: kernels are compiled without them then.
    """
    found = bars[-1]
    return found[first:] if found.ndim == 3 else None


def add_detail(bars: Bars, detail: NDArray[np.float64] | None) -> Bars:
    """The bars with this detail, of the shape of `detail_of`, in the place of what they had. Raises DataError."""
    features = features_of(bars)
    if DETAIL in features:
        raise DataError(f"a feature is called {DETAIL!r}, the name of finer bars; rename that column")
    if detail is None or detail.size == 0:
        return without_detail(bars)
    columns: tuple[Any, ...] = (*plain_bars(bars), *features.values(), _frozen(detail, np.float64))
    return bars_with((*features, DETAIL))(*columns)


def without_detail(bars: Bars) -> Bars:
    """The bars as a strategy sees them: with their features, without the finer bars inside them."""
    columns: tuple[Any, ...] = bars[:-1]
    return bars if bars[-1].ndim == 1 else bars_with(bars._fields[_OHLCV:-1])(*columns)


def plain_bars(bars: Bars) -> Bars:
    """The bars without features and detail, as the simulator is compiled for."""
    return bars if type(bars) is Bars else Bars._make(bars[:_OHLCV])


def add_features(bars: Bars, features: Mapping[str, ArrayLike]) -> Bars:
    """The bars with further columns of their length, in the place of those they had; detail stays. Raises DataError."""
    if TRADED in features:
        raise DataError(
            f"a feature is called {TRADED!r}, the name of the mark that bars on a union of calendars have; "
            "rename that column"
        )
    columns = [_frozen(column, np.float64) for column in features.values()]
    made = bars_with(tuple(features))(*plain_bars(bars), *columns)
    check_lengths(made)
    return made if bars[-1].ndim == 1 else add_detail(made, detail_of(bars))


def make_bars(
    timestamp: ArrayLike,
    *prices: ArrayLike,
    rows: NDArray[np.int64] | None = None,
    features: Mapping[str, ArrayLike] | None = None,
) -> Bars:
    """Copy, freeze and validate timestamp, open, high, low, close, volume and features, each of shape (n_bars,).

    rows: the number of each bar in its source, shape (n_bars,); counted from 1 when None.
    Raises DataError naming the first bad row and why; its faults are all bad rows.
    """
    bars = Bars(_frozen(timestamp, np.int64), *(_frozen(column, np.float64) for column in prices))
    check_bars(bars, rows)
    return add_features(bars, features) if features else bars


def refuse_taken(names: Iterable[str]) -> None:
    """DataError where a user's column has the name of what this library puts beside the bars."""
    if INCOME in names:
        raise DataError(
            f"a feature is called {INCOME!r}, the name of what holding brings (with_income); rename that column"
        )


def take(bars: Bars, rows: Any) -> Bars:
    """The bars at these rows, in this order, with their features: an index, a mask or a slice."""
    return type(bars)(*(column[rows] for column in bars))


def as_arrays(bars: Bars) -> Bars:
    """The same bars with plain arrays over whatever holds them, such as memory maps."""
    return type(bars)(*(np.asarray(column) for column in bars))  # type: ignore[arg-type]


def freeze(bars: Bars) -> Bars:
    """The same bars in read-only C-order arrays of their own."""
    return type(bars)(*(_frozen(column, column.dtype) for column in bars))


def slice_bars(bars: Bars, start: int, stop: int) -> Bars:
    """The bars start <= t < stop, as views."""
    if start == 0 and stop == len(bars.close):
        return bars
    part = slice(start, stop)
    if type(bars) is not Bars:
        return take(bars, part)
    times, open_, high, low, close, volume = bars
    return Bars(times[part], open_[part], high[part], low[part], close[part], volume[part])


def check_bars(bars: Bars, rows: NDArray[np.int64] | None = None) -> None:
    """Refuse bars that cannot be traded: DataError with the row (counted from 1) and the reason."""
    n_bars = check_lengths(bars)
    if n_bars < 2:
        raise DataError(f"a backtest needs at least 2 bars, but got {n_bars}")
    number = np.arange(1, n_bars + 1) if rows is None else rows
    found: dict[int, str] = {}  # the first reason of each bar
    for bad, reason, values in _rules(bars, "after" if number[0] > number[-1] else "before"):
        if bad.any():
            for i in np.flatnonzero(bad)[:MOST_FAULTS]:
                found.setdefault(int(i), f"{reason}, got {_shown(values[i])}")
    if found:
        faults = [Fault(int(number[i]), reason) for i, reason in found.items()]
        raise DataError(refused(faults).args[0], worst(faults))


def check_lengths(bars: Bars) -> int:
    """The number of bars; DataError when a column has another one."""
    n_bars = len(bars.timestamp)
    if any(column.shape != (n_bars,) for column in bars):
        raise DataError(f"all columns must have one length, but got {[column.shape for column in bars]}")
    return n_bars


def _rules(bars: Bars, beside: str) -> Iterator[tuple[NDArray[np.bool_], str, NDArray[Any]]]:
    """Which bars break a rule, shape (n_bars,), what is wrong with them, and the values that show it.

    beside: where in the source the row of the bar before stands, "before" or "after".
    """
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
    yield step == 0, f"its timestamp is that of the row {beside} (duplicate: keep one)", times
    yield step < 0, f"its timestamp is before that of the row {beside} (not sorted: sort them by time)", times


def _shown(value: Any) -> str:
    """A time without the fractions of a second that it has not."""
    return f"{value}".removesuffix(".000000000")


def _frozen(column: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.array(column, dtype=dtype, order="C")
    array.setflags(write=False)  # kernels are compiled for read-only arrays, which joblib's memmaps are too
    return array
