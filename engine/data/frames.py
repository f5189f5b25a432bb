"""Bars of a longer time frame, and their values brought back to the bars that were there when they closed.

Every moment of local time is in one period: resample makes one bar of the bars that open in it; align shows a value of
that bar from the first bar on that closes at or after the period's end. Both are one pass of a kernel.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel
from engine.data.bars import INCOME, Bars, bars_with, features_of, is_bars
from engine.data.income import Due, pay
from engine.data.inspect import spoken
from engine.data.load import load_bars
from engine.data.times import find_zone
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SECOND = 1_000_000_000  # nanoseconds
DAY = 86_400 * _SECOND
_UNITS = {"s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "D": DAY, "W": 7 * DAY, "M": 31 * DAY}
_SAME = {"min": "m", "H": "h", "d": "D", "w": "W"}
_MONDAY = 4  # 1970-01-05, in days since 1970
_KIND = "Bars of "  # begins the name of every type of resampled bars
_LONGEST = 12 * 31 * DAY


class Frame(NamedTuple):
    """A time frame: so many of a unit, one of s, m, h, D, W, M, in days that begin `offset` ns after local midnight."""

    multiple: int
    unit: str
    timezone: str = "UTC"
    offset: int = 0

    @property
    def length(self) -> int:
        """The longest period but for changes of the clock, nanoseconds."""
        return self.multiple * _UNITS[self.unit]


def resample(bars: Bars | pd.DataFrame, timeframe: str, *, timezone: str = "UTC", offset: str = "0m") -> Bars:
    """One bar for every period of the time frame in which a bar opens: first open, highest, lowest, last close, sum.

    timeframe: "5m" (or "5min"), "4h", "1D", "1W" (from Monday), "1M"; one below a day must divide it. timezone: the
    IANA name of the zone whose days they are. offset: how long after local midnight a day begins, "30m", "17h". The
    timestamps are the beginnings of the periods. A feature is the last value that is not missing. Raises DataError for
    a time frame that is none, or finer than the bars.
    """
    known = _as_bars(bars)
    frame = make_frame(timeframe, timezone, offset)
    times = known.timestamp
    late = 0 if frame.unit in "smh" else _UNITS["h"]  # a day on which the clocks go back is an hour longer
    if len(times) > 1 and (shortest := int(np.diff(times).min())) > frame.length + late:
        apart = spoken(shortest / _SECOND)
        raise DataError(
            f"timeframe = {timeframe!r} is finer than the bars, which are at least {apart} apart; give a longer one"
        )
    starts = _periods(times, *_edges(frame, times))[0]
    first = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
    stop = np.append(first[1:], len(times))
    features = features_of(known)
    income = features.pop(INCOME, None)
    high, low, volume = _extremes(known.high, known.low, known.volume, first, stop)
    further = [_last(column, first, stop) for column in features.values()]
    columns: list[Any] = [starts[first], known.open[first], high, low, known.close[stop - 1], volume, *further]
    for column in columns:
        column.setflags(write=False)  # kernels are compiled for read-only arrays
    made = bars_of_frame(frame, tuple(features))(*columns)
    if income is None:
        return made
    paid = pay(made, None, Due(known.timestamp, income * known.open))
    return bars_of_frame(frame, tuple(features_of(paid)))(*paid)


def align(values: ArrayLike, source: Bars, bars: Bars | pd.DataFrame) -> Array:
    """Values at the closes of resampled bars, as known at the close of every bar; NaN where none is yet, (n_bars,).

    values: shape (n_source,). source: what `resample` gave. bars: those that were resampled, or others. The value of a
    source bar is known from the first bar on that closes at or after the end of its period. A bar closes when as much
    time has passed as the second smallest step between bars so far, and at the next bar's open at the latest.
    Raises DataError where source is not resampled or values has another length.
    """
    given, frame = np.asarray(values, dtype=np.float64), getattr(type(source), "frame", None)
    if frame is None:
        raise DataError("align(values, source, bars): source must be what resample(bars, timeframe) gave")
    if given.shape != source.timestamp.shape:
        raise DataError(
            f"align(values, source, bars): values has the shape {given.shape}, source {len(source.timestamp)} bars"
        )
    times = _as_bars(bars).timestamp
    ends = _periods(source.timestamp, *_edges(frame, source.timestamp))[1]
    return as_of(given, ends, closes(times))


def _as_bars(given: Bars | pd.DataFrame) -> Bars:
    return cast(Bars, given) if is_bars(given) else load_bars(given)


def unframed(bars: Bars) -> Bars:
    """The same bars without their time frame: as if a file had them."""
    return bars_with(tuple(features_of(bars)))(*bars)


def make_frame(timeframe: str, timezone: str = "UTC", offset: str = "0m") -> Frame:
    """A Frame of its texts; DataError for what is none."""
    find_zone(timezone)
    count, unit = _length(timeframe, "timeframe")
    if unit in "smh" and DAY % (count * _UNITS[unit]) != 0:
        raise DataError(f"timeframe = {timeframe!r}: below a day it must divide the day, as '5m', '4h' and '12h' do")
    if count * _UNITS[unit] > _LONGEST:
        raise DataError(f"timeframe = {timeframe!r}: must be no longer than a year")
    late, of = _length(offset, "offset", least=0)
    if of not in "smh" or late * _UNITS[of] >= DAY:
        raise DataError(f"offset = {offset!r}: must be shorter than a day, as '30m' or '17h'")
    return Frame(count, unit, timezone, late * _UNITS[of])


def duration(text: str, key: str) -> int:
    """Nanoseconds of "90s", "10m", "2h", "1D", "1W"; DataError naming the key."""
    count, unit = _length(text, key, least=0)
    if unit == "M":
        raise DataError(f"{key} = {text!r}: months differ in length; give days, as '30D'")
    if count * _UNITS[unit] > 10 * _LONGEST:
        raise DataError(f"{key} = {text!r}: must be no longer than ten years")
    return count * _UNITS[unit]


def _length(text: str, key: str, *, least: int = 1) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,5})\s*(s|m|min|h|H|D|d|W|w|M)", str(text).strip(), re.ASCII)
    if match is None or int(match[1]) < least:
        raise DataError(f"{key} = {text!r}: must be a number and one of s, m (minutes), h, D, W, M (months), as '4h'")
    return int(match[1]), _SAME.get(match[2], match[2])


@lru_cache(maxsize=256)
def bars_of_frame(frame: Frame, features: tuple[str, ...] = ()) -> type[Bars]:
    """The type of bars that have this time frame: every part of them has it too, in every process."""
    name = f"{_KIND}{frame.multiple}{frame.unit} {frame.timezone} {frame.offset} {','.join(features)}"
    base = cast(Any, bars_with(features))
    made = type(name, (base,), {"__slots__": (), "__module__": __name__, "frame": frame})
    return cast(type[Bars], made)


def __getattr__(name: str) -> Any:
    """Types of resampled bars by their names, for pickles of another process."""
    if name.startswith(_KIND):
        length, timezone, offset, features = name.removeprefix(_KIND).split(" ", 3)
        frame = Frame(*_length(length, "timeframe"), timezone, int(offset))
        return bars_of_frame(frame, tuple(features.split(",")) if features else ())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _edges(frame: Frame, times: Integers) -> tuple[Integers, int]:
    """Beginnings of the days, weeks or months around the times, ns, and the step of what is shorter; 0 for none."""
    around = 2 * frame.length // DAY + 2
    first, last = int(times[0]) // DAY - around, int(times[-1]) // DAY + around
    step = frame.length if frame.unit in "smh" else 0
    return _day_edges(frame._replace(multiple=1, unit="D") if step else frame, first, last), step


@lru_cache(maxsize=64)
def _day_edges(frame: Frame, first: int, last: int) -> Integers:
    """Beginnings of all periods of whole days from day `first` to day `last`, in days since 1970; read-only."""
    days = np.arange(first, last + 1)
    if frame.unit == "M":
        months = days.astype("datetime64[D]").astype("datetime64[M]")
        begins = (days.astype("datetime64[D]") == months) & (months.astype(np.int64) % frame.multiple == 0)
    else:
        size = frame.length // DAY
        begins = (days - (_MONDAY if frame.unit == "W" else 0)) % size == 0
    local = days[begins] * DAY + frame.offset
    edges = local if frame.timezone == "UTC" else _in_utc(local, frame.timezone)
    edges.setflags(write=False)
    return edges


def _in_utc(local: Integers, timezone: str) -> Integers:
    """Local times in UTC, ns: of one that happens twice the first, of one that never happens the next that does."""
    import pandas as pd

    naive = pd.DatetimeIndex(local.astype("datetime64[ns]"))
    twice = np.ones(len(local), dtype=bool)
    moments = naive.tz_localize(find_zone(timezone), ambiguous=twice, nonexistent="shift_forward")
    return np.array(moments.tz_convert("UTC").as_unit("ns").asi8)


@kernel
def _periods(times: Integers, edges: Integers, step: int) -> tuple[Integers, Integers]:
    """Beginning and end of the period of every time, ns: between two edges, cut into steps from the first, if any."""
    starts, ends = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    i = 0
    for t in range(len(times)):
        while edges[i + 1] <= times[t]:
            i += 1
        starts[t], ends[t] = edges[i], edges[i + 1]
        if step > 0:
            starts[t] += (times[t] - edges[i]) // step * step
            ends[t] = min(starts[t] + step, edges[i + 1])
    return starts, ends


@kernel
def _extremes(high: Array, low: Array, volume: Array, first: Integers, stop: Integers) -> tuple[Array, Array, Array]:
    """Highest, lowest and sum of the bars first[i] <= t < stop[i]."""
    n = len(first)
    highest, lowest, total = np.empty(n), np.empty(n), np.zeros(n)
    for i in range(n):
        highest[i], lowest[i] = high[first[i]], low[first[i]]
        for t in range(first[i], stop[i]):
            highest[i], lowest[i] = max(highest[i], high[t]), min(lowest[i], low[t])
            total[i] += volume[t]
    return highest, lowest, total


@kernel
def _last(values: Array, first: Integers, stop: Integers) -> Array:
    """The last value of first[i] <= t < stop[i] that is not NaN."""
    found = np.full(len(first), np.nan)
    for i in range(len(first)):
        for t in range(first[i], stop[i]):
            if not np.isnan(values[t]):
                found[i] = values[t]
    return found


@kernel
def closes(times: Integers) -> Integers:
    """When every bar closes, ns, as far as the bars so far tell: at its open until two steps are known."""
    n = len(times)
    found = np.empty(n, np.int64)
    smallest, second = np.int64(0), np.int64(0)
    for t in range(n):
        if t > 0:
            step = times[t] - times[t - 1]
            if t == 1 or step < smallest:
                smallest, second = step, smallest
            elif t == 2 or step < second:
                second = step
        found[t] = times[t] + (second if t > 1 else 0)
        if t + 1 < n:
            found[t] = min(found[t], times[t + 1])
    return found


@kernel
def as_of(values: Array, known_at: Integers, moments: Integers) -> Array:
    """At every moment the last value with known_at <= moment, NaN where there is none; both in order."""
    found = np.full(len(moments), np.nan)
    i = -1
    for t in range(len(moments)):
        while i + 1 < len(values) and known_at[i + 1] <= moments[t]:
            i += 1
        if i >= 0:
            found[t] = values[i]
    return found
