"""Prices in another currency: what an instrument is worth to an account that is kept in another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.data.bars import Bars, bars_with, features_of
from engine.data.inspect import spoken
from engine.data.joined import Series, known
from engine.errors import DataError

RATE = "close"  # the column of a file of several
_SECOND = 10**9


def in_currency(bars: Bars, rates: Series, name: str = "the currency") -> Bars:
    """The bars with their prices times the last rate known at each bar's open: one rate for the whole bar.

    rates: as rates_of has them. name: of the currency, for what is said. Volumes and features stay as they are.
    Raises DataError where a bar has no rate.
    """
    times, values = rates_of(rates, name)
    rate = known(times, values, rates, bars.timestamp)
    if (missing := np.isnan(rate)).any():
        t = int(missing.argmax())
        said = _why(int(bars.timestamp[t]), times, rates, name)
        raise DataError(f"row {t + 1}: {_moment(int(bars.timestamp[t]))}: {said}")
    features = features_of(bars)
    columns: list[Any] = [bars.timestamp, *(price * rate for price in bars[1:5]), bars.volume, *features.values()]
    for column in columns[1:5]:
        column.setflags(write=False)
    return bars_with(tuple(features))(*columns)


def rates_of(rates: Series, name: str) -> tuple[Integers, Array]:
    """Times and rates of a series: its one column, or the one whose name ends in `close`.

    Raises DataError where that is not one, or a rate is not above 0.
    """
    found = list(rates.values)
    if len(found) > 1:
        found = [key for key in found if key.endswith(RATE) and not key.endswith(f"adj_{RATE}")]
    if len(found) != 1:
        there = [key.removeprefix(f"{name}_") for key in rates.values]
        raise DataError(
            f"has several columns and not one called {RATE}: {', '.join(there)}; "
            f'say which it is with [data.format] columns = {{ {RATE} = "{there[0]}" }}'
        )
    times, values = rates.values[found[0]]
    wrong = ~(np.isfinite(values) & (values > 0.0))
    if wrong.any():
        at = int(wrong.argmax())
        row = rates.rows[found[0]][at] if found[0] in rates.rows else at + 1
        raise DataError(f"row {row}: the rate is {values[at]:g}, must be above 0; correct it, or leave the row out")
    return times, values


def _why(moment: int, times: Integers, rates: Series, name: str) -> str:
    """Why there is no rate at this moment."""
    late = spoken(rates.lag / _SECOND) if rates.lag else "at once"
    at = int(np.searchsorted(times + rates.lag, moment, side="right")) - 1
    if at < 0:
        return (
            f"no rate is known yet for {name}: the first is of {_moment(int(times[0]))} and known "
            f"{late}{' later' if rates.lag else ''} (lag); give rates from before the first bar on, or another lag"
        )
    oldest = spoken((rates.max_age or 0) / _SECOND)
    return (
        f"the last rate known for {name} is of {_moment(int(times[at]))}, older than max_age ({oldest}); "
        "give the rates in between, or a longer max_age"
    )


def _moment(time: int) -> str:
    return str(np.datetime64(time, "ns").astype("datetime64[s]"))
