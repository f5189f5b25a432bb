"""Further columns of numbers in a table of bars: the features of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.data.decimals import numbers_of
from engine.data.formats import ADJUSTED, Format, Reading, feature_names, plain_name
from engine.data.table import Table

if TYPE_CHECKING:
    import pandas as pd

_SYMBOLS = ("symbol", "ticker", "instrument", "isin", "pair")  # what a column of symbols is called


def features(
    table: Table, frame: pd.DataFrame, reading: Reading, rows: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float64]], Reading]:
    """The columns of numbers that are no time, price or volume, shape (n_rows,), and the reading with their names.

    frame: the table's rows that are bars; rows: their numbers. What is missing is NaN. A column with a value that is no
    number is none: the reading has the first such value, and a note where the others are numbers.
    Raises DataError where two columns would have one name.
    """
    unused = {ADJUSTED: reading.columns[ADJUSTED]} if ADJUSTED in reading.columns and not reading.adjusted else {}
    others = {**table.others, **unused}
    found: dict[str, NDArray[np.float64]] = {}
    theirs: dict[str, str] = {}
    texts: dict[str, str] = {}
    notes: list[str] = []
    for place, name in feature_names(others).items():
        values, wrong = _numbers(frame[place], reading)
        there = frame[place].notna().to_numpy()
        if wrong.any():
            at = int(wrong.argmax())
            texts[name] = f"row {rows[at]}: {others[place]} is no number, got {str(frame[place].iloc[at])[:40]!r}"
            if 2 * np.isfinite(values).sum() >= there.sum():
                notes.append(f"{others[place]} is no feature: {texts[name]}")
        elif not np.isnan(values).all():
            found[name], theirs[name] = values, others[place]
    return found, reading._replace(features=theirs, texts=texts, notes=(*reading.notes, *notes))


def _numbers(column: pd.Series[float], reading: Reading) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The column as floats, NaN where nothing stands, and which values are no numbers; of other things no value is."""
    import pandas as pd

    none = np.zeros(len(column), dtype=bool)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64), none
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return np.full(len(column), np.nan), none
    if reading.separator and reading.decimal + reading.thousands != ".":  # a text whose numbers are not plain
        told = Format(decimal=reading.decimal, thousands=reading.thousands or None)
        read, _, faults = numbers_of({"feature": column.astype("str")}, told)
        for fault in faults:
            none[fault.row - 1] = True
        return read["feature"], none
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.asarray(numbers.isna() & column.notna(), dtype=np.bool_)
    if not wrong.any():  # numbers among objects are no feature
        return np.full(len(column), np.nan), none
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64), wrong


def symbols_note(table: Table) -> tuple[str, ...]:
    """What is said of a column of several symbols in a table that is read as one instrument."""
    for place, theirs in table.others.items():
        if (
            plain_name(theirs) in _SYMBOLS
            and 1 < (n := table.frame[place].astype(str).nunique()) <= len(table.frame) / 2
        ):
            return (
                f'column {theirs} has {n} symbols, and all rows are read as one; symbol_column = "{theirs}" reads each',
            )
    return ()


def common_features(kinds: list[Mapping[str, object]]) -> tuple[list[str], list[str]]:
    """Of the features of several instruments those that all have, and those that some lack."""
    names = list(dict.fromkeys(name for kind in kinds for name in kind))
    shared = [name for name in names if all(name in kind for kind in kinds)]
    return shared, [name for name in names if name not in shared]
