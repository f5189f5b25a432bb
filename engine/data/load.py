"""CSV, Parquet, Feather or a DataFrame -> Bars. The only module here that reads files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.data.bars import Bars, make_bars
from engine.data.times import TIME_COLUMNS, boundary, find_zone, read_times, refuse_descending
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PRICE_COLUMNS = ("open", "high", "low", "close")
_READERS = {
    ".csv": "read_csv",
    ".gz": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".feather": "read_feather",
}
_SEPARATORS = (";", "\t", "|")


def load_bars(
    source: str | Path | pd.DataFrame,
    *,
    start: str | None = None,
    end: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
) -> Bars:
    """Read OHLCV bars of one instrument.

    source: a .csv (also .csv.gz), .parquet or .feather file, or a DataFrame. Columns open, high, low, close, volume in
    any case, bare or as <OPEN>; volume may be absent (then 0). The time is a column named timestamp, datetime, date or
    time, or the index; date and time are joined when both are there. Whole numbers are dates such as 20201231, or
    seconds, milli-, micro- or nanoseconds since 1970. What could be read in two ways is refused.
    start, end: ISO dates or times, both inclusive; 2020, 2020-12 and 2020-12-31 mean the whole year, month, day.
    date_format: how the times are written, as strptime takes it, "%d/%m/%Y"; for date and time joined by one blank.
    timezone: the IANA name of the zone of naive times, of start and of end; UTC by default. Bars are in UTC.

    Raises DataError naming the file, the row (of data, from 1) and the reason.
    """
    import pandas as pd

    name = "DataFrame" if isinstance(source, pd.DataFrame) else str(source)
    try:
        frame = source if isinstance(source, pd.DataFrame) else _read(Path(source))
        if frame.empty:
            raise DataError("no rows")
        frame = frame.rename(columns=_plain_name)
        _refuse_doubtful_columns(frame)
        times = read_times(frame, date_format, timezone)
        refuse_descending(times)
        columns = [_numbers(frame, column) for column in _PRICE_COLUMNS]
        columns.append(_numbers(frame, "volume") if "volume" in frame else np.zeros(len(frame)))
        bars = make_bars(times, *columns)
        return _between(bars, start, end, timezone)
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
        frame: pd.DataFrame = _read_csv(path) if reader == "read_csv" else getattr(pd, reader)(path)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}") from None
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Separated by what its header says; times stay texts, so that no leading zero and no digit of them is lost."""
    import pandas as pd

    header = list(pd.read_csv(path, nrows=0).columns)
    separator = next((one for one in _SEPARATORS if len(header) == 1 and one in header[0]), ",")
    names = header if separator == "," else header[0].split(separator)
    texts = {name.strip('"'): str for name in names if _plain_name(name.strip('"')) in TIME_COLUMNS}
    return pd.read_csv(path, sep=separator, dtype=texts)


def _plain_name(column: object) -> str:
    """A column's name in lower case, without blanks and angle brackets."""
    return str(column).strip().strip("<>").lower()


def _refuse_doubtful_columns(frame: pd.DataFrame) -> None:
    present = list(frame.columns)
    if missing := [column for column in _PRICE_COLUMNS if column not in present]:
        raise DataError(f"missing column {', '.join(missing)}; present are {', '.join(present)}")
    if doubled := sorted({column for column in present if present.count(column) > 1}):
        raise DataError(f"column {', '.join(doubled)} is there more than once")


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce")
    if (bad := (numbers.isna() & frame[column].notna()).to_numpy()).any():
        row = int(bad.argmax())
        value = frame[column].iloc[row]
        hint = "; write it with a decimal point and without separators" if "," in str(value) else ""
        raise DataError(f"row {row + 1}: {column} is no number, got {value!r}{hint}")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _between(bars: Bars, start: str | None, end: str | None, timezone: str | None) -> Bars:
    zone, last = find_zone(timezone), len(bars.timestamp)
    first = 0 if start is None else int(np.searchsorted(bars.timestamp, boundary(start, zone, end=False), side="left"))
    if end is not None:
        last = int(np.searchsorted(bars.timestamp, boundary(end, zone, end=True), side="left"))
    if last - first < 2:
        raise DataError(f"fewer than 2 bars between start {start} and end {end}")
    return make_bars(*(column[first:last] for column in bars)) if (first, last) != (0, len(bars.timestamp)) else bars
