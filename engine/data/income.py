"""Cash that holding brings, from columns at their own times: funding, dividends, and splits.

One rule: what is due at a time is paid at the open of the first bar that opens then or later, to whoever holds into
that bar. It stands in the bars as the feature `holding_income`, a share of the value at the open, so that it goes where
its bar goes and grows with its prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.data.bars import INCOME, Bars, add_features, bars_with, features_of
from engine.errors import DataError

_TOLD = math.log(1.4)  # a split that moves the price by no more cannot be told from a day's move


class Due(NamedTuple):
    """What one unit brings, and when; NaN brings nothing."""

    times: Integers  # (n,), ns since 1970, UTC
    values: Array  # (n,)


def with_income(
    bars: Bars, *, funding: str | None = None, dividends: str | None = None, splits: str | None = None
) -> Bars:
    """The bars with what holding them brings, from features that they have.

    funding: rates of the position's value, 0.0001 for a basis point: longs pay, shorts receive, below 0 the other way
    round. dividends: money for one unit: longs receive, shorts pay. splits: new units for one old, 2.0 for two for one;
    0, 1 and NaN are none. Prices are brought to the scale of the first bar: nothing hangs on a split to come.
    Raises DataError for a feature that is not there, a split that cannot be, or one that the prices know already.
    """
    names = {name: column for name, column in (("funding", funding), ("dividends", dividends)) if column is not None}
    due = {name: due_of(bars, column) for name, column in names.items()}
    if due:  # before the splits: a share of what it was worth then
        bars = pay(bars, due.get("funding"), due.get("dividends"))
    return bars if splits is None else unsplit(bars, splits, () if dividends is None else (dividends,))


def due_of(bars: Bars, name: str) -> Due:
    """A feature of the bars as what is due at their times. Raises DataError where there is none."""
    return Due(bars.timestamp, _feature(bars, name))


def pay(bars: Bars, funding: Due | None, dividends: Due | None) -> Bars:
    """The bars with the feature `holding_income`: dividends less funding, as shares of the value at each bar's open."""
    rates = np.zeros(len(bars.close)) if funding is None else -_on_bars(funding, bars)
    if dividends is not None:
        rates = rates + _on_bars(dividends, bars) / bars.open
    return add_features(bars, {**features_of(bars), INCOME: rates})


def _on_bars(due: Due, bars: Bars, together: np.ufunc = np.add) -> Array:
    """The sum of what is due from after the open of the bar before to that of each bar, shape (n_bars,).

    together: how several are put together, np.multiply for their product.
    """
    opens = bars.timestamp
    bar = np.searchsorted(opens, due.times, side="left")
    counts = (due.times >= opens[0]) & (bar < len(opens)) & ~np.isnan(due.values)
    found = np.full(len(opens), float(together.identity))
    together.at(found, bar[counts], due.values[counts])
    return found


def unsplit(bars: Bars, name: str, money: Sequence[str] = (), splits: Due | None = None) -> Bars:
    """The bars on the scale of the first: from a split on prices and the features `money` grow, volumes shrink.

    name: the feature that has the ratios, or what `splits` is called, where they have times of their own.
    """
    ratio = _feature(bars, name) if splits is None else splits.values
    ratio = np.where(np.isnan(ratio) | (ratio == 0.0), 1.0, ratio)
    wrong = ~(np.isfinite(ratio) & (ratio > 0.0))
    if wrong.any():
        at = int(wrong.argmax())
        where = f"row {at + 1}" if splits is None else _day(int(splits.times[at]))
        raise DataError(f"{where}: {name} is no ratio of a split: {ratio[at]}")
    if splits is not None:
        ratio = _on_bars(Due(splits.times, ratio), bars, np.multiply)
    _check_raw(bars, ratio, name)
    units = np.cumprod(np.append(1.0, ratio[1:]))  # that one unit of the first bar has become
    columns: list[Any] = [bars.timestamp, *(price * units for price in bars[1:5]), bars.volume / units]
    further = {one: values * units if one in money else values for one, values in features_of(bars).items()}
    for column in (*columns, *further.values()):
        column.setflags(write=False)
    return bars_with(tuple(further))(*columns, *further.values())


def _check_raw(bars: Bars, ratio: Array, name: str) -> None:
    """Refuse prices that do not fall at a split: they are adjusted already."""
    for t in np.flatnonzero(np.abs(np.log(ratio)) > _TOLD):
        if t > 0 and abs(math.log(bars.open[t] / bars.close[t - 1])) < abs(math.log(ratio[t])) / 2:
            day = _day(int(bars.timestamp[t]))
            raise DataError(
                f"row {t + 1}: {name} has {ratio[t]:g} on {day}, but the price goes from {bars.close[t - 1]:g} to "
                f"{bars.open[t]:g}: it is adjusted for splits already; leave splits away"
            )


def _day(time: int) -> str:
    return str(np.datetime64(time, "ns").astype("datetime64[D]"))


def income_of(bars: Bars, first: int = 0) -> Array | None:
    """What a position held into each of bars[first:] is paid at its open, as a share of its value there; None: nothing.

    Kernels are compiled without it where it is None.
    """
    return getattr(bars, INCOME)[first:] if INCOME in bars._fields else None


def _feature(bars: Bars, name: str) -> Array:
    features = features_of(bars)
    if name not in features:
        has = ", ".join(features) or "no further column of numbers"
        raise DataError(f"there is no column {name!r}; there is {has}")
    return features[name]
