"""How many bars a year has, read off the bars themselves."""

from __future__ import annotations

import math

import numpy as np

from engine.compiled.arrays import Integers
from engine.errors import ParameterError

_DAY = 86_400_000_000_000  # nanoseconds
_WEEKS = 365.25 / 7
_SLOW = (1.0, 2.0, 4.0, 12.0, 52.0)  # yearly to weekly bars
_DAYS = (252.0, 365.0)  # days on which shares, and days on which everything else is traded
SNAP = 0.05  # a year is one of the usual ones when it is this close
TOLERANCE = 1.0 / 3.0  # a given clock may be so far off the inferred one


def infer_periods_per_year(timestamp: Integers) -> float:
    """Bars in a year, from the times of at least 2 bars, nanoseconds since 1970, shape (n_bars,).

    Bars of more than a day: a year over the median step. Others: the median number of bars in a week that has any,
    so that gaps and holidays do not count; sessions and weekends do. Within 5 % of a usual year (1, 2, 4, 12, 52; 252
    or 365 times the bars of a day) it is that year: daily shares have 252, hourly ones with 7 bars a day 1764, hourly
    coins 8760.
    """
    step = float(np.median(np.diff(timestamp))) / _DAY
    if step > 1.5:
        return _usual(365.25 / step, _SLOW)
    days = np.asarray(timestamp) // _DAY
    per_day = float(np.median(_runs(days)))
    if days[-1] - days[0] < 14:  # no whole week: only what a day looks like is known
        weekend = bool(np.isin((days + 3) % 7, (5, 6)).any())  # 1970-01-01 was a Thursday
        spans_one = (days[-1] + 3) // 7 > (days[0] + 3) // 7
        around_the_clock = step < 0.9 and per_day * step > 0.95 and not spans_one
        return per_day * _DAYS[weekend or around_the_clock]
    per_week = _runs((days + 3) // 7)
    full = float(np.median(per_week[1:-1]) if len(per_week) > 3 else per_week.max())  # first and last may be cut
    return _usual(full * _WEEKS, tuple(per_day * year for year in _DAYS))


def periods_per_year_of(timestamp: Integers, given: float | None) -> float:
    """The clock that is given, else the one inferred; ParameterError on one that is not above zero and finite."""
    if given is None:
        return infer_periods_per_year(timestamp)
    if not 0.0 < given < math.inf:
        raise ParameterError(f"periods_per_year = {given} must be a finite number above 0")
    return float(given)


def check_periods_per_year(given: float, inferred: float) -> None:
    """ParameterError when a clock is off the bars' own by more than a third."""
    if abs(given / inferred - 1.0) > TOLERANCE:
        raise ParameterError(
            f"periods_per_year = {given:g}, but the bars have about {inferred:g} a year; leave it out to use that, or "
            f"say clock = 'as given' to keep yours"
        )


def day_ends(timestamp: Integers) -> Integers:
    """The last bar of each day (UTC), indices in order; every bar where bars are as long as a day."""
    days = np.asarray(timestamp) // _DAY
    return np.flatnonzero(np.diff(days, append=days[-1] + 1))


def _runs(ascending: Integers) -> Integers:
    """How often each value occurs, in order."""
    ends = np.flatnonzero(np.diff(ascending))
    return np.diff(ends, prepend=-1, append=len(ascending) - 1)


def _usual(found: float, years: tuple[float, ...]) -> float:
    nearest = min(years, key=lambda year: abs(found / year - 1.0))
    return nearest if abs(found / nearest - 1.0) <= SNAP else float(f"{found:.3g}")
