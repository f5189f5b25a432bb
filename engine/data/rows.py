"""The rows of a table -> Bars, oldest first; or all the rows that cannot be, and what was understood of the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.data.bars import Bars, make_bars, refuse_taken
from engine.data.decimals import numbers_of
from engine.data.formats import ADJUSTED, PRICES, Format, Reading
from engine.data.further import features, symbols_note
from engine.data.table import Table
from engine.data.times import Times, read_times
from engine.errors import DataError, Fault, worst

if TYPE_CHECKING:
    import pandas as pd

_Numbers = dict[str, NDArray[np.float64]]
_ReadTimes = Callable[["pd.DataFrame"], NDArray[np.int64]]


class BadRowsError(DataError):
    """Rows of a table that cannot be used. reading: what was understood of the table all the same."""

    def __init__(self, message: str, faults: Sequence[Fault] = (), reading: Reading | None = None) -> None:
        super().__init__(message, faults)
        self.reading = reading


def bars_of(table: Table, told: Format, date_format: str | None, timezone: str | None) -> tuple[Bars, Reading]:
    """The bars of a table, oldest first. BadRowsError tells the first bad row, its faults are all of them."""
    if table.reading.columns.get("timestamp", "").strip().lower() == "gmt time" and timezone not in (
        None,
        "UTC",
        "GMT",
    ):
        raise DataError(f"timezone = {timezone!r}, but the column 'Gmt time' is in UTC; remove timezone")
    values, reading, faults = _numbers(table, told)
    notes = symbols_note(table)
    reading = reading._replace(zone=timezone or "UTC", notes=(*reading.notes, *notes))
    frame, rows = table.frame, np.arange(1, len(table.frame) + 1)
    empty = _empty_rows(values, every=told.drop_empty)
    if len(empty) == len(frame) and not faults:
        raise DataError("no row has a price")
    if 0 < len(empty) < len(frame):
        reading = reading._replace(dropped=tuple((empty + 1).tolist()))
        frame, values, rows = _without(empty, frame, values, rows)
    written = Times(date_format, timezone, told.epoch_unit, told.repeated_hour)
    times, timeless, more = _times(frame, lambda part: read_times(part, written, table.present), rows, faults)
    faults += more
    if len(timeless):
        frame, values, rows = _without(timeless, frame, values, rows)
    steps = np.diff(times)
    backwards = int((steps < 0).sum()) > int((steps > 0).sum())
    reading = reading._replace(order="newest first" if backwards else "oldest first")
    try:
        if told.adjusted:
            values, reading = _adjusted(values, reading)
        elif ADJUSTED in reading.columns:
            reading = reading._replace(notes=(*reading.notes, _unused(reading)))
        further, reading = features(table, frame, reading, rows)
        refuse_taken(further)
        step = -1 if backwards else 1
        volume = values["volume"] if "volume" in values else np.zeros(len(rows))
        columns = [column[::step] for column in (*(values[price] for price in PRICES), volume)]
        turned = {name: column[::step] for name, column in further.items()}
        bars = make_bars(times[::step], *columns, rows=rows[::step], features=turned)
    except DataError as error:
        if not faults and not error.faults:
            raise
        faults += error.faults
    if faults:
        raise _bad_rows(faults, reading, notes)
    return bars, reading


def _numbers(table: Table, told: Format) -> tuple[_Numbers, Reading, list[Fault]]:
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
    return values | read, table.reading._replace(decimal=style.decimal, thousands=style.thousands), faults


def _empty_rows(values: Mapping[str, NDArray[np.float64]], *, every: bool) -> NDArray[np.int64]:
    """Rows without any price, counted from 0: those at the end, or all of them."""
    if not every and not np.isnan(values["close"][-1]):
        return np.zeros(0, dtype=np.int64)
    empty: NDArray[np.bool_] = np.all([np.isnan(values[price]) for price in PRICES], axis=0)
    if not every and not empty.all():
        empty[: len(empty) - int((~empty[::-1]).argmax())] = False
    return np.flatnonzero(empty)


def _without(
    left_out: NDArray[np.int64], frame: pd.DataFrame, values: _Numbers, rows: NDArray[np.int64]
) -> tuple[pd.DataFrame, _Numbers, NDArray[np.int64]]:
    """The same without some rows, counted from 0."""
    kept = np.setdiff1d(np.arange(len(rows)), left_out)
    return frame.iloc[kept], {name: column[kept] for name, column in values.items()}, rows[kept]


def _times(
    frame: pd.DataFrame, read: _ReadTimes, rows: NDArray[np.int64], before: Sequence[Fault]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Fault]]:
    """The times of the rows that have one, the rows that have none, counted from 0, and why.

    rows: their numbers in the source. before: faults that are known already. Raises what concerns no single row, and
    what is the only fault; with others, times that cannot be read at all are one more, and the rows stand for them.
    """
    good = np.arange(len(frame))
    faults: list[Fault] = []
    while True:
        try:
            part = frame if len(good) == len(frame) else frame.iloc[good]
            times = read(part) if len(good) else good
            return times, np.setdiff1d(np.arange(len(frame)), good), faults
        except DataError as error:
            if error.faults:
                faults += [Fault(int(rows[good[row - 1]]), reason) for row, reason in error.faults]
                good = np.delete(good, [fault.row - 1 for fault in error.faults])
            elif (said := re.match(r"row (\d+): (.*)", str(error))) and (before or faults):
                faults.append(Fault(int(rows[good[int(said[1]) - 1]]), said[2]))
                return rows[good], np.setdiff1d(np.arange(len(frame)), good), faults
            else:
                raise


def _adjusted(values: _Numbers, reading: Reading) -> tuple[_Numbers, Reading]:
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


def _bad_rows(faults: Sequence[Fault], reading: Reading, hints: Sequence[str]) -> BadRowsError:
    """One error: the first fault's words; of each row the first."""
    found: dict[int, str] = {}
    for row, reason in faults:
        found.setdefault(row, reason)
    said = "; ".join([f"row {faults[0].row}: {faults[0].reason}", *hints])
    return BadRowsError(said, worst([Fault(*pair) for pair in found.items()]), reading)
