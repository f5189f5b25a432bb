"""Numbers written as text -> floats: decimal point or comma, thousands; one reading for a file, or a DataError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.formats import Format
from engine.errors import DataError, Fault

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}
_FILL = " '’\u00a0\u202f\u2009"  # thousands that cannot be decimals
_NULL = ("", "null", "nan", "na", "n/a", "none", "-", "<na>")
_COMMA_ALONE = r"[-+]?(?:\d*,(?:\d{1,2}|\d{4,})|\d{4,},\d+|0\d*,\d+|[\d.]*\.\d{3},\d+|\d{1,3}(?:\.\d{3}){2,})"
_POINT_ALONE = r"[-+]?(?:\d*\.(?:\d{1,2}|\d{4,})|\d{4,}\.\d+|0\d*\.\d+|[\d,]*,\d{3}\.\d+|\d{1,3}(?:,\d{3}){2,})"


class Style(NamedTuple):
    """How numbers are written."""

    decimal: str
    thousands: str  # "": none


def numbers_of(
    columns: Mapping[str, pd.Series[str]], told: Format
) -> tuple[dict[str, NDArray[np.float64]], Style, list[Fault]]:
    """Each column as floats, shape (n_rows,), how they were written, and the values that are none.

    NaN where nothing or no number stands. The style is told, or settled by all columns together; DataError with both
    readings where they do not settle it.
    """
    tidied = {name: _tidy(column) for name, column in columns.items()}
    style = _style(tidied, told)
    values: dict[str, NDArray[np.float64]] = {}
    faults: list[Fault] = []
    how = "" if told.decimal is None else f" with decimal = {told.decimal!r}"
    for name, text in tidied.items():
        values[name], bad = _floats(text, style)
        given = columns[name].to_numpy()
        faults += [Fault(int(i) + 1, f"{name} is no number{how}, got {given[i]!r}") for i in np.flatnonzero(bad)]
    return values, style, faults


def _tidy(column: pd.Series[str]) -> pd.Series[str]:
    """Without currency signs, blanks and apostrophes; empty where there is no number."""
    import pandas as pd

    text = pd.Series(column).astype("str").fillna("").str.replace(f"[$€£{_FILL}]", "", regex=True)
    return text.where(~text.str.lower().isin(_NULL), "")


def _style(columns: Mapping[str, pd.Series[str]], told: Format) -> Style:
    if told.decimal is not None:
        return Style(told.decimal, told.thousands or ("." if told.decimal == "," else ","))
    if told.thousands is not None and told.thousands in ".,":
        return Style("," if told.thousands == "." else ".", told.thousands)
    comma = {name: text.str.fullmatch(_COMMA_ALONE).to_numpy(dtype=bool) for name, text in columns.items()}
    point = {name: text.str.fullmatch(_POINT_ALONE).to_numpy(dtype=bool) for name, text in columns.items()}
    shown = [_first(columns, found) for found in (comma, point)]
    if shown[0] and shown[1]:
        raise DataError(f"{shown[0]} has a decimal comma, {shown[1]} a decimal point; write all numbers one way")
    if shown[0] or shown[1]:
        return Style(",", ".") if shown[0] else Style(".", ",")
    doubtful = _first(columns, {name: text.str.contains(",").to_numpy(dtype=bool) for name, text in columns.items()})
    if doubtful:
        value = re.sub(r".* = ", "", doubtful).strip("'")
        raise DataError(
            f"{doubtful} could be {value.replace(',', '')} (thousands) or {value.replace(',', '.')} (decimal comma), "
            'and no row decides: give [data.format] decimal = "." or decimal = ","'
        )
    return Style(".", "")


def _first(columns: Mapping[str, pd.Series[str]], found: Mapping[str, NDArray[np.bool_]]) -> str:
    """The first value that was found, with its place; empty when none was."""
    for name, rows in found.items():
        if rows.any():
            row = int(rows.argmax())
            return f"row {row + 1}: {name} = {columns[name].iloc[row]!r}"
    return ""


def _floats(text: pd.Series[str], style: Style) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers, and which of them are none."""
    grouped = rf"\d{{1,3}}(?:{re.escape(style.thousands)}\d{{3}})*|\d+" if style.thousands else r"\d+"
    form = rf"([-+]?(?:{grouped})?(?:{re.escape(style.decimal)}\d*)?(?:[eE][-+]?\d+)?)([KMB]?)"
    infinite = text.str.fullmatch(r"[-+]?inf(?:inity)?", case=False)
    good = text.str.fullmatch(form) & text.str.contains(r"\d") | infinite
    unit = text.str.extract(r"([KMB])$")[0].map(_UNITS).fillna(1.0).to_numpy(dtype=np.float64)
    plain = text.str.rstrip("KMB")
    if style.thousands:
        plain = plain.str.replace(style.thousands, "", regex=False)
    plain = plain.str.replace(style.decimal, ".", regex=False)
    usable = good.to_numpy(dtype=bool)
    values = np.full(len(text), np.nan)
    values[usable] = [float(one) for one in plain[usable]]
    return values * unit, ~usable & (text != "").to_numpy(dtype=bool)
