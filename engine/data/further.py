"""Further columns of numbers in a table of bars: the features of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.data.decimals import numbers_of
from engine.data.formats import ADJUSTED, Format, Reading, feature_names
from engine.data.table import Table

if TYPE_CHECKING:
    import pandas as pd


def features(
    table: Table, rows: pd.DataFrame, reading: Reading
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """The columns of numbers that are no time, price or volume, shape (n_rows,), and what the file calls them.

    rows: the table's rows that are bars. What is missing is NaN. A column with a value that is no number is none.
    Raises DataError where two columns would have one name.
    """
    unused = {ADJUSTED: reading.columns[ADJUSTED]} if ADJUSTED in reading.columns and not reading.adjusted else {}
    others = {**table.others, **unused}
    found: dict[str, NDArray[np.float64]] = {}
    theirs: dict[str, str] = {}
    for place, name in feature_names(others).items():
        values = _numbers(rows[place], reading)
        if values is not None:
            found[name], theirs[name] = values, others[place]
    return found, theirs


def _numbers(column: pd.Series[float], reading: Reading) -> NDArray[np.float64] | None:
    """The column as floats; None where it holds other things, or nothing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif reading.separator and reading.decimal + reading.thousands != ".":  # a text whose numbers are not plain
        told = Format(decimal=reading.decimal, thousands=reading.thousands or None)
        read, _, faults = numbers_of({"feature": column.astype("str")}, told)
        if faults:
            return None
        values = read["feature"]
    else:
        return None
    return None if np.isnan(values).all() else np.asarray(values, dtype=np.float64)


def common_features(kinds: list[Mapping[str, object]]) -> tuple[list[str], list[str]]:
    """Of the features of several instruments those that all have, and those that some lack."""
    names = list(dict.fromkeys(name for kind in kinds for name in kind))
    shared = [name for name in names if all(name in kind for kind in kinds)]
    return shared, [name for name in names if name not in shared]
