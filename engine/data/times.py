"""The times of bars: which columns hold them, what their numbers mean, which zone they are in."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.dates import REMEDY, check_date_format, is_iso, parse, read_dates, tidy
from engine.errors import DataError, Fault, refused

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS = ("timestamp", "datetime", "date", "time", "open_time")
_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds
IN_ORDER = "in order"
_FIRST, _LAST = 631_152_000 * 10**9, 7_258_118_400 * 10**9  # 1990 and 2200: no number is in the range of two units
_DAY = r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}  # no epoch number is so long
_YEARS = (1678, 2261)  # those that nanoseconds since 1970 hold in full
_CLOCK = r"\d{1,2}:\d\d.*"


class Times(NamedTuple):
    """How times are written, where that is told."""

    date_format: str | None = None
    timezone: str | None = None  # of naive times; UTC when None
    epoch_unit: str | None = None  # of whole numbers: one of UNITS, "s", "ms", "us" or "ns"
    repeated_hour: str | None = None  # IN_ORDER: an hour the clocks show twice is told apart by the order of the rows


_UNTOLD = Times()


def read_times(frame: pd.DataFrame, told: Times = _UNTOLD, present: Sequence[str] = ()) -> NDArray[np.int64]:
    """Nanoseconds since 1970 (UTC) of every row of a frame with lower-case columns, shape (n_rows,).

    The column is the first of TIME_COLUMNS there is, date joined with time if both are there, or the index.
    present: what the file calls its columns, for what is said where none of them is the time.
    Raises DataError with row (from 1) and value when a time is missing, is no time, or could be two.
    """
    import pandas as pd

    zone = find_zone(told.timezone)
    check_date_format(told.date_format)
    values = _time_values(frame, present)
    if isinstance(values.dtype, pd.DatetimeTZDtype) or np.issubdtype(
        getattr(values.dtype, "type", object), np.datetime64
    ):
        for key in ("date_format", "epoch_unit"):
            if (given := getattr(told, key)) is not None:
                raise DataError(f"{key} = {given!r} does not apply: the times are no texts; remove it")
        moments = pd.DatetimeIndex(values)
    else:
        text = tidy(_as_text(values))
        if told.date_format is None and text.str.fullmatch(r"-?\d+(?:\.\d+)?").all():
            return _from_numbers(text, zone, told.epoch_unit)
        if told.epoch_unit is not None:
            raise DataError(f"row 1: {text.iloc[0]!r} is no number, but epoch_unit = {told.epoch_unit!r} is given")
        moments = read_dates(text, told.date_format)
    return _in_utc(moments, zone, told.repeated_hour)


def find_zone(timezone: str | None) -> zoneinfo.ZoneInfo:
    """The zone of an IANA name, UTC for None; DataError when there is none of that name."""
    try:
        return zoneinfo.ZoneInfo("UTC" if timezone is None else timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise DataError(
            f"timezone = {timezone!r}: no such time zone; give an IANA name, e.g. 'America/New_York' or 'UTC'"
        ) from None


def boundary(text: str, zone: zoneinfo.ZoneInfo, *, end: bool) -> int:
    """Nanoseconds since 1970 of a start (inclusive) or an end (exclusive: what comes right after it).

    A year, month or day (2020, 2020-02, 2020-02-29) means all of it; a time of day means that moment.
    """
    import pandas as pd

    given = str(text).strip()
    shown = repr(given if len(given) <= 60 else f"{given[:57]}...")
    if not is_iso(given) and re.fullmatch(r"\d{4}", given, re.ASCII) is None:
        raise DataError(f"{shown} is no date; write it as 2000-12-31, 2000-12 or 2000")
    if not _YEARS[0] <= int(given[:4]) <= _YEARS[1]:
        raise DataError(f"{shown} is outside the years {_YEARS[0]} to {_YEARS[1]}")
    try:
        if re.fullmatch(r"\d{4}(?:-\d\d){0,2}", given, re.ASCII):
            period = pd.Period(given)
            day = (period + 1 if end else period).to_timestamp()
            return int(day.tz_localize(zone, ambiguous=True, nonexistent="shift_forward").as_unit("ns").value)
        moment = pd.Timestamp(given)
        if moment.tz is None:
            moment = moment.tz_localize(zone)
        return int(moment.as_unit("ns").value) + end
    except (ValueError, OverflowError) as error:
        raise DataError(f"{shown} is no date: {error}") from None


def _time_values(frame: pd.DataFrame, present: Sequence[str]) -> Any:
    """The times as they stand, shape (n_rows,), none missing."""
    import pandas as pd

    column = next((name for name in TIME_COLUMNS if name in frame), None)
    if column is None and not isinstance(frame.index, pd.DatetimeIndex):
        named = f"missing column timestamp; name it one of {', '.join(TIME_COLUMNS)}"
        if not present:
            raise DataError(f"{named} or make it the index")
        likely = next((name for name in present if re.search("date|time|dat[ue]m|day|zeit|tag", name.lower())), "...")
        raise DataError(
            f'{named}, or say which it is with [data.format] columns = {{ date = "{likely}" }}; '
            f"present are {', '.join(present)}"
        )
    names = ["date", "time"] if column == "date" and "time" in frame else [column]
    parts = [pd.Series(frame.index) if name is None else frame[name].reset_index(drop=True) for name in names]
    for part in parts:
        if (empty := part.isna().to_numpy()).any():
            raise refused([Fault(int(i) + 1, "the timestamp is missing") for i in np.flatnonzero(empty)])
    if len(parts) == 1:
        return parts[0]
    date, clock = parts
    if pd.api.types.is_datetime64_any_dtype(date):
        if (date != date.dt.normalize()).any():
            raise DataError("date has a time of day, and there is a column time too; rename or remove one of them")
        date = date.dt.strftime("%Y-%m-%d")
    return tidy(_as_text(date)) + " " + _clock(clock)


def _clock(values: pd.Series[Any]) -> pd.Series[str]:
    """A column of times of day, written with colons."""
    import pandas as pd

    text = tidy(_as_text(values))
    if text.str.fullmatch(_CLOCK).all():
        return text
    if text.str.fullmatch(r"\d{1,6}").all():
        if text.str.fullmatch(r"\d{4}").all() and not pd.api.types.is_numeric_dtype(values):
            return text.str.replace(r"^(\d\d)(\d\d)$", r"\1:\2", regex=True)
        cut = ((text == "0") | ~text.str.startswith("0")).all()  # zeros in front are lost, in every row
        if text.str.fullmatch(r"\d{6}").all() or (cut and (text.str.len().max() >= 5 or (text == "0").all())):
            return text.str.zfill(6).str.replace(r"^(\d\d)(\d\d)(\d\d)$", r"\1:\2:\3", regex=True)
        raise DataError(
            f"row 1: time = {text.iloc[0]!r} could be hours and minutes or minutes and seconds; write it as 09:30"
        )
    row = int(text.str.fullmatch(_CLOCK).to_numpy(dtype=bool).argmin())
    raise DataError(
        f"row {row + 1}: time = {text.iloc[row]!r} is no time of day to join with the column date; "
        "write it as 09:30:00, or rename or remove one of the two columns"
    )


def _as_text(values: Any) -> pd.Series[str]:
    """Numbers as they print, without an exponent; a whole number without a point."""
    import pandas as pd

    if pd.api.types.is_float_dtype(values):
        values = pd.Series([format(Decimal(repr(float(value))), "f").removesuffix(".0") for value in values])
    text: pd.Series[str] = pd.Series(values).astype("str")
    return text


def _from_numbers(text: pd.Series[str], zone: zoneinfo.ZoneInfo, unit_told: str | None) -> NDArray[np.int64]:
    """Dates such as 20200131, or one unit since 1970, whichever the column can be; never both."""
    text = text.str.replace(r"\.0+$", "", regex=True)
    if unit_told is not None:
        return _in_unit(text, _unit(unit_told))
    length = len(text.iloc[0])
    if length in _COMPACT and re.match(_DAY, text.iloc[0]):
        form = _COMPACT[length]
        return _in_utc(parse(text, form, f"is no date of the form {form}, as the first row is; {REMEDY}"), zone)
    if text.str.fullmatch(_DAY + r"(?:[01]\d|2[0-3])").all():
        raise DataError(
            f"row 1: {text.iloc[0]} could be a date and hour (%Y%m%d%H) or seconds since 1970: give date_format = "
            '"%Y%m%d%H", or write the times as 2000-12-31T09:00:00'
        )
    numbers = text.astype(float).to_numpy()
    names = list(_UNITS)
    held = np.stack([(numbers * unit >= _FIRST) & (numbers * unit < _LAST) for unit in _UNITS.values()])
    if not (known := held.any(axis=0)).all():
        row = int(known.argmin())
        raise DataError(f"row {row + 1}: {text.iloc[row]} {_implausible(numbers[row])}; {REMEDY}")
    which = held.argmax(axis=0)
    if (other := which != which[0]).any():
        row = int(other.argmax())
        raise DataError(
            f"row {row + 1}: {text.iloc[row]} counts {names[which[row]]} since 1970, but row 1 counts {names[which[0]]}"
            "; write all times in one unit"
        )
    return _in_unit(text, _UNITS[names[which[0]]])


def _unit(name: str) -> int:
    if name not in UNITS:
        raise DataError(f"epoch_unit = {name!r}: must be one of {', '.join(UNITS)}")
    return UNITS[name]


def _in_unit(text: pd.Series[str], unit: int) -> NDArray[np.int64]:
    """Numbers of one unit since 1970 -> nanoseconds, exactly."""
    limit = 2**63 // unit
    if (wide := ~text.astype(float).abs().lt(limit).to_numpy()).any():
        row = int(wide.argmax())
        raise DataError(f"row {row + 1}: {text.iloc[row]} is outside the years {_YEARS[0]} to {_YEARS[1]}")
    if text.str.contains(".", regex=False).any():
        return np.array([int(Decimal(number) * unit) for number in text], dtype=np.int64)
    return text.to_numpy(dtype=np.int64) * np.int64(unit)


def _implausible(number: float) -> str:
    """What a number would be if it were taken for a time."""
    day = np.datetime64("1899-12-30", "D")
    if number == int(number) and 1900 <= number < 2200:
        return f"is no full date: it looks like the year {int(number)}"
    if 190_001 <= number < 220_013 and 1 <= number % 100 < 13:
        return f"is no full date: it looks like the month {int(number) // 100}-{int(number) % 100:02d}"
    if 20_000 <= number < 110_000:
        return f"is no date: as a serial number of Excel it would be {day + int(number)}"
    if 0 <= number * 10**9 < _FIRST:
        moment = np.datetime64(int(number), "s")
        return f"is no time that can be meant: as seconds since 1970 it would be {moment}, before 1990"
    return "is no number of seconds, milli-, micro- or nanoseconds since 1970 between the years 1990 and 2200"


def _in_utc(moments: pd.DatetimeIndex, zone: zoneinfo.ZoneInfo, repeated_hour: str | None = None) -> NDArray[np.int64]:
    """Naive times are in `zone`; DataError for one that its clocks show twice or never."""
    import pandas as pd

    if repeated_hour not in (None, IN_ORDER):
        raise DataError(f"repeated_hour = {repeated_hour!r}: must be {IN_ORDER!r}")
    if moments.tz is None and repeated_hour == IN_ORDER:
        moments = _told_apart(moments, zone)
    if moments.tz is None:
        local = moments.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        if (bad := np.asarray(local.isna())).any():
            row = int(bad.argmax())
            exists = moments[[row]].tz_localize(zone, ambiguous=np.ones(1, bool), nonexistent="NaT").notna().all()
            raise DataError(
                f"row {row + 1}: {moments[row]} {'happens twice' if exists else 'does not exist'} in {zone.key}, where "
                "the clocks are changed; write the times in UTC or with their offset, as 2000-12-31T09:30:00+01:00"
                + (f", or give repeated_hour = {IN_ORDER!r} if the rows are in order" if exists else "")
            )
        moments = local
    try:
        nanoseconds: NDArray[np.int64] = moments.tz_convert("UTC").as_unit("ns").asi8
    except pd.errors.OutOfBoundsDatetime:
        years = np.asarray(moments.year)
        row = int(((years < _YEARS[0]) | (years > _YEARS[1])).argmax())
        raise DataError(f"row {row + 1}: {moments[row]} is outside the years {_YEARS[0]} to {_YEARS[1]}") from None
    return nanoseconds


def _told_apart(moments: pd.DatetimeIndex, zone: zoneinfo.ZoneInfo) -> pd.DatetimeIndex:
    """Local times whose repeated hour is first the earlier, then the later one, as the rows go."""
    backwards = len(moments) > 1 and moments[0] > moments[-1]
    rows = moments[::-1] if backwards else moments
    try:
        local = rows.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
    except ValueError as error:
        raise DataError(f"repeated_hour = {IN_ORDER!r}: the rows do not tell: {str(error).splitlines()[0]}") from None
    if (bad := np.asarray(local.isna())).any():
        raise DataError(f"{rows[int(bad.argmax())]} does not exist in {zone.key}, where the clocks are changed")
    return local[::-1] if backwards else local
