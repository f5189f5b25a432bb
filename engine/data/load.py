"""Any table of bars -> Bars, and what was understood of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.bars import Bars, detail_of, features_of, slice_bars, without_detail
from engine.data.formats import Format, Reading, make_format
from engine.data.kept import keep, place_of, recall
from engine.data.rows import bars_of
from engine.data.table import read_table
from engine.data.times import boundary, find_zone
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def load_bars(
    source: str | Path | Any,
    *,
    start: str | None = None,
    end: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    format: Format | Mapping[str, Any] | None = None,  # noqa: A002 - the key of the study file
) -> Bars:
    """Read OHLCV bars of one instrument.

    source: a .csv, .tsv, .txt (also .gz), .zip, .json, .parquet or .feather file, or a frame of pandas, polars or
    Arrow. Columns open, high, low, close, volume in any case, bare or as <OPEN>; volume may be absent (then 0). The
    time is a column named timestamp, datetime, date or time, or the index; date and time are joined when both are
    there. Whole numbers are dates such as 20201231, or seconds, milli-, micro- or nanoseconds since 1970. Further
    columns of numbers are features of the bars, `Fear & Greed` as bars.fear_greed. Exports of many sources are known
    besides (docs/data.md). What could be read in two ways is refused.
    start, end: ISO dates or times, both inclusive; 2020, 2020-12 and 2020-12-31 mean the whole year, month, day.
    date_format: how the times are written, as strptime takes it, "%d/%m/%Y"; for date and time joined by one blank.
    timezone: the IANA name of the zone of naive times, of start and of end; UTC by default. Bars are in UTC.
    format: what else is told of the file, the keys of engine.data.formats.Format.

    Raises DataError naming the file, the row (of data, from 1) and the reason.
    """
    return read_bars(source, start=start, end=end, date_format=date_format, timezone=timezone, format=format)[0]


def read_bars(
    source: str | Path | Any,
    *,
    start: str | None = None,
    end: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    format: Format | Mapping[str, Any] | None = None,  # noqa: A002
) -> tuple[Bars, Reading]:
    """load_bars, and what was understood of the source."""
    try:
        told = make_format(format)
        bars, reading = _read(source, told, date_format, timezone)
        return between(bars, start, end, timezone), reading
    except DataError as error:
        name = str(source) if isinstance(source, str | Path) else type(source).__name__
        said = "".join(c if c.isprintable() else " " for c in str(error))  # a file's words are repeated in it
        raise type(error)(f"{name}: {said}", error.faults) from None


def _read(source: Any, told: Format, date_format: str | None, timezone: str | None) -> tuple[Bars, Reading]:
    def place() -> Path | None:
        return place_of(Path(source), told, date_format, timezone) if isinstance(source, str | Path) else None

    before = place()
    if before is not None and (found := recall(before)) is not None:
        return found
    bars, reading = bars_of(read_table(source, told), told, date_format, timezone)
    if (
        before is not None and before == place()
    ):  # else it was written meanwhile, and these are not the bars of `before`
        keep(before, bars, reading)
    return bars, reading


def content_hash(bars: Bars) -> str:
    """SHA-256 (hex) of the times, prices, volumes, features and detail: the identity of the data in a record."""
    digest = hashlib.sha256()
    for column in without_detail(bars):
        digest.update(np.ascontiguousarray(column).tobytes())
    digest.update("".join(f"\n{name}" for name in features_of(bars)).encode())
    if (detail := detail_of(bars)) is not None:  # not its width, which other bars have a say in
        there = ~np.isnan(detail)
        digest.update(b"\n\ndetail" + there[:, :, 0].sum(axis=1).tobytes() + detail[there].tobytes())
    return digest.hexdigest()


def to_frame(bars: Bars, timezone: str = "UTC") -> pd.DataFrame:
    """The bars as a DataFrame with lower-case columns and a DatetimeIndex in this time zone; the inverse of load_bars.

    Raises DataError for a zone that is none.
    """
    import pandas as pd

    index = pd.DatetimeIndex(bars.timestamp.astype("datetime64[ns]"), tz="UTC", name="timestamp")
    if timezone != "UTC":
        index = index.tz_convert(find_zone(timezone))
    return pd.DataFrame({name: getattr(bars, name) for name in without_detail(bars)._fields[1:]}, index=index)


class TooFewBarsError(DataError):
    """There are fewer than two bars between start and end."""


def spoken_span(start: str | None, end: str | None) -> str:
    """`from start 2020 to end 2021`, without what is not given."""
    return " ".join([*([f"from start {start}"] if start else []), *([f"to end {end}"] if end else [])]) or "in all"


def between(bars: Bars, start: str | None, end: str | None, timezone: str | None) -> Bars:
    """The bars from start to end, both inclusive, in `timezone`, as views; TooFewBarsError for fewer than two."""
    zone, last = find_zone(timezone), len(bars.timestamp)
    first = 0 if start is None else int(np.searchsorted(bars.timestamp, boundary(start, zone, end=False), side="left"))
    if end is not None:
        last = int(np.searchsorted(bars.timestamp, boundary(end, zone, end=True), side="left"))
    if last - first < 2:
        n_inside, n_bars = max(last - first, 0), len(bars.timestamp)
        remedy = "the start is after the end" if last < first else "move start or end into them"
        whole = " to ".join(f"{bars.timestamp[i].astype('datetime64[ns]').astype('datetime64[s]')}Z" for i in (0, -1))
        raise TooFewBarsError(
            f"fewer than 2 bars {spoken_span(start, end)}: {n_inside} of the {n_bars} there are, which are of {whole}; "
            f"{remedy}"
        )
    return slice_bars(bars, first, last)
