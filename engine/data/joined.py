"""Files of values beside the bars: an index, a rate, a score. Each bar gets the last value known at its close."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.data.bars import Bars, add_features, features_of, plain_bars, refuse_taken
from engine.data.decimals import numbers_of
from engine.data.formats import Format, make_format, plain_name
from engine.data.frames import DAY, as_of, closes, duration
from engine.data.table import Table, read_table
from engine.data.times import TIME_COLUMNS, Times, read_times
from engine.errors import DataError, refused, worst

if TYPE_CHECKING:
    import pandas as pd

_MONTH = 28 * DAY
_NUMBER = r"[-+]?[$€£]?[\d.,][\d.,'’ ]*(?:[eE][-+]?\d+)?[KMB%]?"


class Series(NamedTuple):
    """Values by name, each with their times, ns since 1970 (UTC), and how long after them they are known and hold."""

    values: Mapping[str, tuple[Integers, Array]]
    lag: int  # ns
    max_age: int | None = None  # ns; None: for ever
    rows: Mapping[str, Integers] = {}  # of each value in its file, from 1, where that is known


def join(bars: Bars, name: str, source: str | Path | Any, **told: Any) -> Bars:
    """The bars with every column of numbers of a file as a feature: `name_column`, or `name` where there is one only.

    source, told: as read_series has them. Raises DataError, also for a feature that is there already.
    """
    return join_series(bars, read_series(name, source, **told))


def read_series(
    name: str,
    source: str | Path | Any,
    *,
    lag: str | None = None,
    max_age: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    format: Format | Mapping[str, Any] | None = None,  # noqa: A002 - the key of the study file
) -> Series:
    """The columns of numbers of a file or frame with times.

    lag: a value stamped t is known at t + lag, "0m", "16h", "1D"; the usual step between rows when None. max_age: a
    value older than this is none. date_format, timezone, format: as load_bars has them.
    Raises DataError naming the file, the row (of data, from 1) and the reason.
    """
    try:
        told = make_format(format)
        table = read_table(source, told, prices=False)
        written = Times(date_format, timezone, told.epoch_unit, told.repeated_hour)
        times = read_times(table.frame, written, table.present)
        rows = np.arange(1, len(times) + 1)
        step = -1 if len(times) > 1 and times[0] > times[-1] else 1
        found = {column: values[::step] for column, values in _columns(table, told).items()}
        times, rows = times[::step], rows[::step]
        _check_order(times, backwards=step < 0)
        late = usual_step(times) if lag is None else duration(lag, "lag")
        oldest = None if max_age is None else duration(max_age, "max_age")
    except DataError as error:
        where = str(source) if isinstance(source, str | Path) else type(source).__name__
        said = "".join(c if c.isprintable() else " " for c in str(error))  # a file's words are repeated in it
        raise DataError(f"{where}: {said}", worst(error.faults)) from None
    named = {name if len(found) == 1 else f"{name}_{column}": values for column, values in found.items()}
    held = {one: ~np.isnan(column) for one, column in named.items()}
    values = {one: (times[held[one]], column[held[one]]) for one, column in named.items()}
    return Series(values, late, oldest, {one: rows[there] for one, there in held.items()})


def join_series(bars: Bars, series: Series) -> Bars:
    """The bars with these values as features: at each bar the last one known at its close, else NaN."""
    own, moments = features_of(bars), closes(bars.timestamp)
    joined: dict[str, Array] = {}
    refuse_taken(series.values)
    for name, (times, values) in series.values.items():
        if name in own:
            raise DataError(f"the feature {name} is there already; rename one of them")
        joined[name] = known(times, values, series, moments)
    return add_features(plain_bars(bars), {**own, **joined})


def known(times: Integers, values: Array, series: Series, moments: Integers) -> Array:
    """The last of a series' values known at each moment, NaN where there is none or it is too old; (n_moments,)."""
    seen = as_of(values, times + series.lag, moments)
    if series.max_age is None:
        return seen
    age = moments - as_of(times.astype(np.float64), times + series.lag, moments)
    return np.where(age <= series.max_age, seen, np.nan)


def usual_step(times: Integers) -> int:
    """The median step between rows, ns; of months and longer ones the longest step, as months differ."""
    if len(times) < 2:
        raise DataError("has one row, which does not tell how long after its time a value is known; give lag")
    steps = np.diff(times)
    median = int(np.sort(steps)[len(steps) // 2])
    return median if median < _MONTH else int(steps.max())


def _check_order(times: Integers, *, backwards: bool) -> None:
    bad = np.flatnonzero(np.diff(times) <= 0)
    if len(bad):
        at = int(bad[0])
        row, moment = (len(times) - at if backwards else at + 2), times[at + 1].astype("datetime64[ns]")
        raise DataError(f"row {row}: its time {moment} is there twice or out of order; keep one row for each time")


def _columns(table: Table, told: Format) -> dict[str, Array]:
    """The columns that hold numbers, shape (n_rows,), by plain names; NaN where nothing stands."""
    import pandas as pd

    names = _names(table, told)
    frame = table.frame
    numeric = [place for place in names if pd.api.types.is_numeric_dtype(frame[place])]
    written = [place for place in names if place not in numeric and _share_of_numbers(frame[place]) >= 0.5]
    read: dict[str, Array] = {}
    if written:
        again = table.as_text()
        read, _, faults = numbers_of({names[place]: again[place] for place in written}, told)
        if faults:
            raise refused(faults)
    found = {
        names[place]: read[names[place]]
        if place in written
        else frame[place].to_numpy(dtype=np.float64, na_value=np.nan)
        for place in names
        if place in written or place in numeric
    }
    found = {column: values for column, values in found.items() if not np.isnan(values).all()}
    if not found:
        raise DataError(f"no column holds numbers; present are {', '.join(table.present)}")
    return found


def _share_of_numbers(column: pd.Series[Any]) -> float:
    """Which part of the values that are there look like numbers, however they are written."""
    text = column.dropna().astype("str").str.strip()
    return float(text.str.fullmatch(_NUMBER).mean()) if len(text) else 0.0


def _names(table: Table, told: Format) -> dict[str, str]:
    """Plain names of the columns that are no times, by their place in the frame: as told, else as the file has them."""
    found: dict[str, str] = {}
    ours = told.columns if isinstance(told.columns, Mapping) else {}
    for place, named in {**table.reading.columns, **table.others}.items():
        theirs = place if place in ours else named
        name = re.sub(r"\W+", "_", plain_name(theirs)).strip("_")
        if place in TIME_COLUMNS or not name or name.startswith("unnamed"):
            continue
        if name in found.values():
            raise DataError(f"two columns would both be {name}; rename one of them")
        found[place] = name
    return found
