"""Any table of bars -> Bars, and what was understood of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.data.bars import Bars, detail_of, features_of, make_bars, refuse_taken, slice_bars, without_detail
from engine.data.decimals import numbers_of
from engine.data.formats import ADJUSTED, PRICES, Format, Reading, make_format
from engine.data.further import features
from engine.data.kept import keep, place_of, recall
from engine.data.table import Table, read_table
from engine.data.times import Times, boundary, find_zone, read_times
from engine.errors import MOST_FAULTS, DataError, Fault, refused

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


def bars_of(table: Table, told: Format, date_format: str | None, timezone: str | None) -> tuple[Bars, Reading]:
    """The bars of a table, oldest first. DataError tells the first bad row, its faults are all of them."""
    frame, reading = table.frame, table.reading
    if reading.columns.get("timestamp", "").strip().lower() == "gmt time" and timezone not in (None, "UTC", "GMT"):
        raise DataError(f"timezone = {timezone!r}, but the column 'Gmt time' is in UTC; remove timezone")
    values, reading, faults = _numbers(table, told)
    empty = _empty_rows(values, every=told.drop_empty)
    rows = None
    if len(empty):
        kept = np.setdiff1d(np.arange(len(frame)), empty)
        frame, values = frame.iloc[kept], {name: column[kept] for name, column in values.items()}
        reading, rows = reading._replace(dropped=tuple(int(i) + 1 for i in empty)), kept + 1
    n_rows = len(frame)
    times = np.arange(n_rows, dtype=np.int64)
    try:
        times = read_times(frame, Times(date_format, timezone, told.epoch_unit, told.repeated_hour))
    except DataError as error:
        if not faults and not error.faults:
            raise
        faults.append(_numbered(error, rows))
    backwards = n_rows > 1 and times[0] > times[-1] and bool((np.diff(times) < 0).all())
    step = -1 if backwards else 1
    if backwards:
        rows = np.arange(1, n_rows + 1) if rows is None else rows
    if told.adjusted:
        values, reading = _adjusted(values, reading)
    elif ADJUSTED in reading.columns:
        reading = reading._replace(notes=(*reading.notes, _unused(reading)))
    volume = values["volume"] if "volume" in values else np.zeros(n_rows)
    columns = [column[::step] for column in (*(values[price] for price in PRICES), volume)]
    try:
        further, theirs = features(table, frame, reading)
        refuse_taken(further)
        reading = reading._replace(features=theirs)
        numbers = None if rows is None else rows[::step]
        turned = {name: column[::step] for name, column in further.items()}
        bars = make_bars(times[::step], *columns, rows=numbers, features=turned)
    except DataError as error:
        faults.append(error)
    if faults:
        raise _all_of(faults)
    order = "newest first" if backwards else "oldest first"
    return bars, reading._replace(order=order, zone=timezone or "UTC")


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


def _numbers(table: Table, told: Format) -> tuple[dict[str, NDArray[np.float64]], Reading, list[DataError]]:
    """The columns of numbers, shape (n_rows,): as pandas has them, or from their text where that is not enough."""
    import pandas as pd

    wanted = [name for name in (*PRICES, "volume", ADJUSTED) if name in table.frame]
    if not told.adjusted:
        wanted = [name for name in wanted if name != ADJUSTED]
    values = {}
    if told.decimal is None and told.thousands is None:
        for name in wanted:
            numbers = pd.to_numeric(table.frame[name], errors="coerce")
            if (numbers.isna() & table.frame[name].notna()).any():
                break
            values[name] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            return values, table.reading, []
    text = table.as_text()
    written = [name for name in wanted if not pd.api.types.is_numeric_dtype(text[name])]
    values = {name: text[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in wanted if name not in written}
    read, style, faults = numbers_of({name: text[name] for name in written}, told)
    reading = table.reading._replace(decimal=style.decimal, thousands=style.thousands)
    return values | read, reading, [refused(faults)] if faults else []


def _empty_rows(values: Mapping[str, NDArray[np.float64]], *, every: bool) -> NDArray[np.int64]:
    """Rows without any price, counted from 0: those at the end, or all of them. DataError when no row has one."""
    if not every and not np.isnan(values["close"][-1]):
        return np.zeros(0, dtype=np.int64)
    empty: NDArray[np.bool_] = np.all([np.isnan(values[price]) for price in PRICES], axis=0)
    if empty.all():
        raise DataError("no row has a price")
    if not every:
        empty[: len(empty) - int((~empty[::-1]).argmax())] = False
    return np.flatnonzero(empty)


def _numbered(error: DataError, rows: NDArray[np.int64] | None) -> DataError:
    """The same error with the rows of the source, where some were left out."""
    if rows is None or not error.faults:
        return error
    return refused([Fault(int(rows[fault.row - 1]), fault.reason) for fault in error.faults])


def _adjusted(
    values: dict[str, NDArray[np.float64]], reading: Reading
) -> tuple[dict[str, NDArray[np.float64]], Reading]:
    """All prices times the adjusted close / close."""
    if ADJUSTED not in values:
        raise DataError("format adjusted: there is no column Adj Close; remove adjusted, or name the column adj_close")
    with np.errstate(all="ignore"):
        factor = values[ADJUSTED] / values["close"]
    moved = {price: values[price] * factor for price in PRICES} | {"close": values[ADJUSTED]}
    for price in ("open", "close"):  # a product may pass the bar's end by its last digit
        near = np.isclose(moved[price], moved["high"], rtol=1e-12), np.isclose(moved[price], moved["low"], rtol=1e-12)
        moved["high"] = np.where(near[0], np.maximum(moved["high"], moved[price]), moved["high"])
        moved["low"] = np.where(near[1], np.minimum(moved["low"], moved[price]), moved["low"])
    return values | moved, reading._replace(adjusted=True)


def _unused(reading: Reading) -> str:
    return (
        f"{reading.columns[ADJUSTED]} is there and not used: prices fall at each dividend; "
        "[data.format] adjusted = true adjusts all of them"
    )


def _all_of(errors: list[DataError]) -> DataError:
    """One error: the first one's words, the faults of all; of each row the first."""
    found: dict[int, str] = {}
    for error in errors:
        for fault in error.faults:
            found.setdefault(fault.row, fault.reason)
    return DataError(str(errors[0]), [Fault(*pair) for pair in sorted(found.items())][:MOST_FAULTS])


class TooFewBarsError(DataError):
    """There are fewer than two bars between start and end."""


def between(bars: Bars, start: str | None, end: str | None, timezone: str | None) -> Bars:
    """The bars from start to end, both inclusive, in `timezone`, as views; TooFewBarsError for fewer than two."""
    zone, last = find_zone(timezone), len(bars.timestamp)
    first = 0 if start is None else int(np.searchsorted(bars.timestamp, boundary(start, zone, end=False), side="left"))
    if end is not None:
        last = int(np.searchsorted(bars.timestamp, boundary(end, zone, end=True), side="left"))
    if last - first < 2:
        raise TooFewBarsError(f"fewer than 2 bars between start {start} and end {end}")
    return slice_bars(bars, first, last)
