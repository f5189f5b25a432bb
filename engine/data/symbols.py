"""One long table of many instruments -> the bars of each: a column says whose bar a row is."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.bars import Bars
from engine.data.formats import Format, Reading, make_format
from engine.data.load import between
from engine.data.rows import bars_of
from engine.data.table import Table, read_table
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


class SymbolColumnError(DataError):
    """There is no such column of symbols, or a row has none."""


def read_symbols(
    source: str | Path | Any,
    column: str,
    *,
    start: str | None = None,
    end: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    format: Format | Mapping[str, Any] | None = None,  # noqa: A002 - the key of the study file
) -> Iterator[tuple[str, Bars | DataError, Reading]]:
    """Each symbol of a long table, in order of their names, with its bars, or why there are none, and its reading.

    column: the name of the column of symbols, as in the table. All else is as in engine.data.load.load_bars. Raises
    DataError where the table cannot be read, has no such column, or a row without a symbol.
    """
    name = str(source) if isinstance(source, str | Path) else type(source).__name__
    told = make_format(format)
    try:
        table = read_table(source, told)
        place = _place_of(table, column)
        symbols = _texts(table, place)
    except DataError as error:
        raise type(error)(f"{name}: {error}") from None
    for symbol, part in _parts(table, place, symbols):
        try:
            bars, reading = bars_of(part, told, date_format, timezone)
            yield symbol, between(bars, start, end, timezone), reading
        except DataError as error:
            yield symbol, type(error)(f"{name}: {symbol}: {error}", error.faults), part.reading


def _place_of(table: Table, column: str) -> str:
    """The name in the frame of a column of the file; DataError where the file has none of this name."""
    for place, theirs in table.others.items():
        if theirs == column:
            return place
    near = get_close_matches(column, table.others.values(), n=1)
    there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(table.others.values()) or 'no others'}"
    raise SymbolColumnError(f"has no column {column!r}; {there}")


def _parts(table: Table, place: str, symbols: np.ndarray) -> Iterator[tuple[str, Table]]:
    """The rows of each symbol as a table of its own, whose rows are counted from 1."""
    text = functools.cache(table.as_text)  # the whole file again: once, not for each symbol
    order = np.argsort(symbols, kind="stable")
    edges = np.flatnonzero(symbols[order][1:] != symbols[order][:-1]) + 1
    others = {name: theirs for name, theirs in table.others.items() if name != place}
    for rows in np.split(order, edges):
        frame = table.frame.iloc[rows].drop(columns=place)

        def as_text(rows: Any = rows) -> pd.DataFrame:
            part: pd.DataFrame = text().iloc[rows].drop(columns=place)
            return part

        yield str(symbols[rows[0]]), table._replace(frame=frame, as_text=as_text, others=others, lines=list)


def _texts(table: Table, place: str) -> np.ndarray:
    """The column as texts, 0700 as it is written; DataError on a row without one."""
    column = table.frame[place]
    if column.dtype.kind in "biuf":
        column = table.as_text()[place]
    if (missing := column.isna().to_numpy()).any():
        raise SymbolColumnError(f"row {int(missing.argmax()) + 1} has no symbol; remove the row, or give it one")
    return column.astype(str).str.strip().to_numpy(dtype=object).astype(str)
