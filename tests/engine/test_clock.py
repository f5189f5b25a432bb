"""The clock read off the bars: the field's usual years, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.clock import check_periods_per_year, infer_periods_per_year, periods_per_year_of
from engine.errors import ParameterError

YEARS = ("2021-01-01", "2022-12-31")


def sessions(first: str, last: str, step: str) -> pd.DatetimeIndex:
    """Bars of `step` from the time of day `first` to `last`, Monday to Friday."""
    every = pd.date_range(*YEARS, freq=step)
    every = every[every.day_of_week < 5]
    return every[every.indexer_between_time(first, last)]


def currencies() -> pd.DatetimeIndex:
    """Hourly, from Sunday 22:00 to Friday 21:00."""
    every = pd.date_range(*YEARS, freq="h")
    hour_of_week = every.day_of_week * 24 + every.hour
    return every[(hour_of_week >= 6 * 24 + 22) | (hour_of_week <= 4 * 24 + 21)]


HALF_HOURS = sessions("09:30", "15:30", "30min")
CLOCKS = {
    "shares, daily": (pd.bdate_range(*YEARS), 252),
    "coins, daily": (pd.date_range(*YEARS), 365),
    "weekly": (pd.date_range(*YEARS, freq="W-FRI"), 52),
    "monthly": (pd.date_range("2000", "2020", freq="ME"), 12),
    "quarterly": (pd.date_range("2000", "2020", freq="QE"), 4),
    "yearly": (pd.date_range("1950", "2020", freq="YE"), 1),
    "shares, hourly": (HALF_HOURS[HALF_HOURS.minute == 30], 252 * 7),
    "shares, minutes": (sessions("14:30", "20:59", "1min"), 252 * 390),
    "coins, hourly": (pd.date_range(*YEARS, freq="h"), 365 * 24),
    "coins, 4 h": (pd.date_range(*YEARS, freq="4h"), 365 * 6),
    "coins, 3 days": (pd.date_range(*YEARS, freq="3D"), 365.25 / 3),
    "currencies, hourly": (currencies(), 252 * 24),
    "two weeks of shares, daily": (pd.bdate_range("2024-01-01", periods=10), 252),
    "three days of shares, daily": (pd.bdate_range("2024-01-02", periods=3), 252),
    "a week of coins, daily": (pd.date_range("2024-01-01", periods=7), 365),
    "two days of minutes": (pd.date_range("2021-03-02 14:30", "2021-03-02 20:59", freq="1min"), 252 * 390),
    "two days of coins": (pd.date_range("2021-03-02", "2021-03-03 23:59", freq="1min"), 365 * 1440),
}


def nanoseconds(times: pd.DatetimeIndex) -> np.ndarray:
    return times.as_unit("ns").asi8


@pytest.mark.parametrize("name", CLOCKS)
def test_the_usual_years_are_found(name):
    times, expected = CLOCKS[name]
    assert infer_periods_per_year(nanoseconds(times)) == pytest.approx(expected, rel=0.05)
    if expected == int(expected):
        assert infer_periods_per_year(nanoseconds(times)) == expected


@settings(deadline=None)
@given(
    st.sampled_from(
        sorted(name for name in CLOCKS if ("days of" not in name and "week" not in name) or name == "weekly")
    ),
    st.integers(0, 2**32 - 1),
)
def test_holidays_and_gaps_do_not_move_the_clock_by_a_third(name, seed):
    times, expected = CLOCKS[name]
    rng = np.random.default_rng(seed)
    days = times.normalize()
    closed = rng.choice(days.unique(), len(days.unique()) // 20, replace=False)
    kept = times[~days.isin(closed)]
    half = len(kept) // 2
    kept = kept[: half - half // 10].append(kept[half + half // 10 :])  # a tenth is missing in the middle
    check_periods_per_year(expected, infer_periods_per_year(nanoseconds(kept)))


def test_a_clock_that_is_far_off_is_refused_with_the_right_one():
    hourly = nanoseconds(CLOCKS["coins, hourly"][0])
    with pytest.raises(ParameterError, match=r"periods_per_year = 252, but the bars have about 8760 a year"):
        check_periods_per_year(252.0, infer_periods_per_year(hourly))
    for nonsense in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ParameterError, match="finite number above 0"):
            periods_per_year_of(hourly, nonsense)
    assert periods_per_year_of(hourly, 100.0) == 100.0
