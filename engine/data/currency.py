"""Prices in another currency: what an instrument is worth to an account that is kept in another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.bars import Bars, bars_with, features_of
from engine.data.joined import Series, known
from engine.errors import DataError

RATE = "close"  # the column of a file of several


def in_currency(bars: Bars, rates: Series, name: str = "the currency") -> Bars:
    """The bars with their prices times the last rate known at each bar's open: one rate for the whole bar.

    rates: of one column, or the one whose name ends in `close`. name: of the currency, for what is said. Volumes and
    features stay as they are. Raises DataError where a bar has no rate, or one that is not above 0.
    """
    times, values = _column(rates, name)
    rate = known(times, values, rates, bars.timestamp)
    wrong = ~(np.isfinite(rate) & (rate > 0.0))
    if wrong.any():
        t = int(wrong.argmax())
        day = str(bars.timestamp[t].astype("datetime64[ns]").astype("datetime64[s]"))
        said = "no rate is known yet" if np.isnan(rate[t]) else f"the rate is {rate[t]:g}"
        raise DataError(f"row {t + 1}: {day}: {said} for {name}; give rates from before the first bar on")
    features = features_of(bars)
    columns: list[Any] = [bars.timestamp, *(price * rate for price in bars[1:5]), bars.volume, *features.values()]
    for column in columns[1:5]:
        column.setflags(write=False)
    return bars_with(tuple(features))(*columns)


def _column(rates: Series, name: str) -> tuple[Any, Any]:
    if len(rates.values) == 1:
        return next(iter(rates.values.values()))
    found = [values for key, values in rates.values.items() if key.endswith(RATE) and not key.endswith(f"adj_{RATE}")]
    if len(found) != 1:
        raise DataError(f"{name}: several columns and not one called {RATE}: {', '.join(rates.values)}")
    return found[0]
