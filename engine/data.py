"""CSV, Parquet, Feather or a DataFrame -> Bars. The only module here that reads files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, make_bars
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_TIME_COLUMNS = ("timestamp", "datetime", "date", "time", "open_time")
_PRICE_COLUMNS = ("open", "high", "low", "close")
_READERS = {
    ".csv": "read_csv",
    ".gz": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".feather": "read_feather",
}
_EPOCH_UNITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (float("inf"), "ns"))


def load_bars(source: str | Path | pd.DataFrame, *, start: str | None = None, end: str | None = None) -> Bars:
    """Read OHLCV bars of one instrument.

    source: a .csv (also .csv.gz), .parquet or .feather file, or a DataFrame. Columns open, high, low, close, volume in
    any case; volume may be absent (then 0). The time is a column named timestamp, datetime, date or time, or the index;
    naive times are UTC, whole numbers are seconds, milli-, micro- or nanoseconds since 1970.
    start, end: ISO dates or times, both inclusive; an end without a time of day means the whole day.

    Raises DataError naming the file, the row (of data, from 1) and the reason.
    """
    import pandas as pd

    name = "DataFrame" if isinstance(source, pd.DataFrame) else str(source)
    try:
        frame = source if isinstance(source, pd.DataFrame) else _read(Path(source))
        if frame.empty:
            raise DataError("no rows")
        frame = frame.rename(columns=lambda column: str(column).strip().lower())
        _refuse_doubtful_columns(frame)
        times = _times(frame)
        columns = [_numbers(frame, column) for column in _PRICE_COLUMNS]
        columns.append(_numbers(frame, "volume") if "volume" in frame else np.zeros(len(frame)))
        bars = make_bars(times.as_unit("ns").asi8, *columns)
        return _between(bars, start, end)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def content_hash(bars: Bars) -> str:
    """SHA-256 (hex) of the timestamps, prices and volumes: the identity of the data in a record."""
    digest = hashlib.sha256()
    for column in bars:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def to_frame(bars: Bars) -> pd.DataFrame:
    """The bars as a DataFrame with lower-case columns and a UTC DatetimeIndex; the inverse of load_bars."""
    import pandas as pd

    index = pd.DatetimeIndex(bars.timestamp.astype("datetime64[ns]"), tz="UTC", name="timestamp")
    return pd.DataFrame({name: getattr(bars, name) for name in Bars._fields[1:]}, index=index)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"cannot tell the format from the ending {path.suffix!r}; use .csv, .parquet or .feather")
    try:
        frame: pd.DataFrame = getattr(pd, reader)(path)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}") from None
    return frame


def _refuse_doubtful_columns(frame: pd.DataFrame) -> None:
    present = list(frame.columns)
    if missing := [column for column in _PRICE_COLUMNS if column not in present]:
        raise DataError(f"missing column {', '.join(missing)}; present are {', '.join(present)}")
    if doubled := sorted({column for column in present if present.count(column) > 1}):
        raise DataError(f"column {', '.join(doubled)} is there more than once")


def _times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    import pandas as pd

    column = next((name for name in _TIME_COLUMNS if name in frame), None)
    if column is None and not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(f"missing column timestamp; name it one of {', '.join(_TIME_COLUMNS)} or make it the index")
    values: Any = frame.index if column is None else pd.Index(frame[column])
    if (empty := np.asarray(values.isna())).any():
        raise DataError(f"row {int(empty.argmax()) + 1}: the timestamp is missing")
    unit: Any = None
    if pd.api.types.is_numeric_dtype(values):
        unit = next(name for limit, name in _EPOCH_UNITS if abs(float(values[0])) < limit)
    try:
        return pd.DatetimeIndex(pd.to_datetime(values, utc=True, unit=unit))
    except (ValueError, OverflowError):
        for row, value in enumerate(values):
            if pd.isna(pd.to_datetime(value, utc=True, unit=unit, errors="coerce")):
                raise DataError(f"row {row + 1}: {value!r} is no timestamp") from None
        raise DataError("the timestamps are in more than one format") from None


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce")
    if (bad := (numbers.isna() & frame[column].notna()).to_numpy()).any():
        row = int(bad.argmax())
        raise DataError(f"row {row + 1}: {column} is no number, got {frame[column].iloc[row]!r}")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _between(bars: Bars, start: str | None, end: str | None) -> Bars:
    import pandas as pd

    def moment(text: str) -> pd.Timestamp:
        try:
            stamp = pd.Timestamp(str(text))
        except ValueError:
            raise DataError(f"{text!r} is no date; write it as 2000-12-31") from None
        return stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")

    first = 0 if start is None else int(np.searchsorted(bars.timestamp, moment(start).as_unit("ns").value, side="left"))
    last = len(bars.timestamp)
    if end is not None:
        limit = moment(end) + (pd.Timedelta(days=1) if len(str(end).strip()) <= 10 else pd.Timedelta(1, "ns"))
        last = int(np.searchsorted(bars.timestamp, limit.as_unit("ns").value, side="left"))
    if last - first < 2:
        raise DataError(f"fewer than 2 bars between start {start} and end {end}")
    return make_bars(*(column[first:last] for column in bars)) if (first, last) != (0, len(bars.timestamp)) else bars
