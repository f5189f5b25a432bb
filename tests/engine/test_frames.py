"""Longer time frames: what their bars are, and from which bar on they are known."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import BacktestEngine, Bars, above, align, check_strategy, resample, sma, strategy
from engine.check import random_bars
from engine.data.bars import add_features, features_of, slice_bars, take
from engine.data.frames import closes, make_frame, unframed
from engine.data.load import content_hash, to_frame
from engine.errors import DataError, StrategyError

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
NEW_YORK = "America/New_York"


def at(times: Sequence[str] | pd.DatetimeIndex, seed: int = 1) -> Bars:
    """Random bars at these times, UTC unless they say another offset, with a feature that is missing now and then."""
    moments = pd.DatetimeIndex(times).as_unit("ns")
    rng = np.random.default_rng(seed)
    score = np.where(rng.uniform(size=len(moments)) < 0.4, np.nan, rng.standard_normal(len(moments)))
    stamps = np.array(moments.asi8)
    stamps.setflags(write=False)
    return add_features(random_bars(rng, len(moments))._replace(timestamp=stamps), {"score": score})


def sessions(days: int, minutes: int = 30) -> pd.DatetimeIndex:
    """From 09:30 to 16:00 in New York, Mondays to Fridays, across the change of the clocks on 2024-03-10."""
    opens = pd.date_range("2024-03-06 09:30", periods=days, freq="B", tz=NEW_YORK)
    parts = [pd.date_range(day, day.replace(hour=15, minute=59), freq=f"{minutes}min") for day in opens]
    return pd.DatetimeIndex(np.concatenate([part.tz_convert("UTC").tz_localize(None) for part in parts]))


def naive_period(moment: datetime, timeframe: str, zone: str) -> tuple[datetime, datetime]:
    """The period of a moment, both ends in UTC: written from docs/engine.md, one moment at a time."""
    local = moment.astimezone(ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    after = (midnight + timedelta(days=1)).replace(fold=0)
    if timeframe.endswith("h"):
        begin = midnight.astimezone(UTC)
        step = timedelta(hours=int(timeframe[:-1]))
        while begin + step <= moment:
            begin += step
        return begin, min(begin + step, after.astimezone(UTC))
    if timeframe == "1W":
        midnight -= timedelta(days=local.weekday())
        after = midnight + timedelta(days=7)
    if timeframe == "1M":
        midnight = midnight.replace(day=1)
        after = (midnight + timedelta(days=32)).replace(day=1)
    return midnight.replace(fold=0).astimezone(UTC), after.replace(fold=0).astimezone(UTC)


def naive_aligned(bars: Bars, timeframe: str, zone: str, length: timedelta) -> list[float]:
    """The close of the last period that has ended at each bar's close, looked for among all bars before."""
    opened = [datetime.fromtimestamp(int(t) / 1e9, UTC) for t in bars.timestamp]
    out = []
    for t in range(len(opened)):
        ended = [i for i in range(t + 1) if naive_period(opened[i], timeframe, zone)[1] <= opened[t] + length]
        out.append(float(bars.close[ended[-1]]) if ended else float("nan"))
    return out


def naive_resampled(bars: Bars, timeframe: str, zone: str) -> list[tuple[float, ...]]:
    """One row a period: its beginning, open, high, low, close, volume, score."""
    groups: dict[datetime, list[int]] = {}
    for t, stamp in enumerate(bars.timestamp):
        groups.setdefault(naive_period(datetime.fromtimestamp(int(stamp) / 1e9, UTC), timeframe, zone)[0], []).append(t)
    rows = []
    for begin, held in groups.items():
        known = [v for v in features_of(bars)["score"][held] if not np.isnan(v)]
        rows.append((
            begin.timestamp() * 1e9, bars.open[held[0]], max(bars.high[held]), min(bars.low[held]),
            bars.close[held[-1]], sum(bars.volume[held]), known[-1] if known else np.nan,
        ))  # fmt: skip
    return rows


CALENDARS = {
    "sessions across the change": sessions(20),
    "around the clock, clocks forward": pd.date_range("2024-03-08 05:00", periods=150, freq="1h"),
    "around the clock, clocks back": pd.date_range("2024-11-01 17:00", periods=150, freq="1h"),
}


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Asia/Kolkata"])
@pytest.mark.parametrize("timeframe", ["1h", "4h", "1D", "1W", "1M"])
@pytest.mark.parametrize("calendar", CALENDARS)
def test_periods_and_what_is_known_of_them_are_as_the_page_says(calendar: str, timeframe: str, zone: str) -> None:
    bars = at(CALENDARS[calendar])
    higher = resample(bars, timeframe, timezone=zone)
    np.testing.assert_array_equal(np.transpose(higher), naive_resampled(bars, timeframe, zone))
    length = timedelta(minutes=30 if calendar.startswith("sessions") else 60)
    expected = naive_aligned(bars, timeframe, zone, length)
    np.testing.assert_array_equal(align(higher.close, higher, bars)[2:], expected[2:])


def test_a_day_is_known_at_its_last_bar_around_the_clock_and_at_the_next_first_one_in_sessions() -> None:
    hours = at(pd.date_range("2024-01-01", periods=60, freq="1h"))
    days = resample(hours, "1D")
    known = align(days.close, days, hours)
    assert np.isnan(known[:23]).all()
    assert (known[23:47] == hours.close[23]).all()  # the bar of 23:00 closes at midnight, with the day
    assert (known[47:] == hours.close[47]).all()  # the third day has not ended
    bars = at(sessions(3))
    days = resample(bars, "1D", timezone=NEW_YORK)
    known = align(days.close, days, bars)
    assert np.isnan(known[:13]).all()  # 09:30 to 15:30; the day ends at midnight
    assert (known[13:26] == bars.close[12]).all()
    assert (known[26:] == bars.close[25]).all()


def test_hours_of_a_session_that_begins_at_half_past_with_an_offset() -> None:
    bars = at(sessions(1))
    whole, half = (resample(bars, "1h", timezone=NEW_YORK, offset=offset) for offset in ("0m", "30m"))
    local = pd.DatetimeIndex(whole.timestamp, tz="UTC").tz_convert(NEW_YORK)
    assert [str(one.time())[:5] for one in local] == ["09:00", *(f"{hour}:00" for hour in range(10, 16))]
    local = pd.DatetimeIndex(half.timestamp, tz="UTC").tz_convert(NEW_YORK)
    assert [str(one.time())[:5] for one in local] == ["09:30", *(f"{hour}:30" for hour in range(10, 16))]
    known = align(half.close, half, bars)
    np.testing.assert_array_equal(known[3:], bars.close[[3, 3, 5, 5, 7, 7, 9, 9, 11, 11]])  # at each hour's second half


def test_currencies_have_days_from_five_in_the_afternoon() -> None:
    bars = at(pd.date_range("2024-03-07 22:00", periods=120, freq="1h"))
    days = resample(bars, "1D", timezone=NEW_YORK, offset="17h")
    local = pd.DatetimeIndex(days.timestamp, tz="UTC").tz_convert(NEW_YORK)
    assert {str(one.time()) for one in local} == {"17:00:00"}
    assert np.diff(days.timestamp).tolist() == [24 * HOUR, 24 * HOUR, 23 * HOUR, 24 * HOUR, 24 * HOUR]


def test_pandas_resamples_the_same_where_its_rules_are_ours() -> None:
    bars = at(pd.date_range("2024-01-03 05:00", periods=2_000, freq="17min"))
    how: Mapping[str, Any] = {
        "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "score": "last",
    }  # fmt: skip
    for timeframe, theirs in (("1h", "1h"), ("4h", "4h"), ("1D", "1D"), ("1M", "MS"), ("3M", "QS")):
        expected = to_frame(bars).resample(theirs).agg(how).dropna(subset="open")
        pd.testing.assert_frame_equal(
            to_frame(resample(bars, timeframe)), expected, check_freq=False, check_index_type=False, check_exact=True
        )
    weeks = to_frame(bars).resample("W-MON", closed="left", label="left").agg(how)
    np.testing.assert_array_equal(to_frame(resample(bars, "1W")), weeks)


irregular = st.lists(st.integers(1, 900), min_size=3, max_size=100).map(lambda steps: [5, 5, *steps])


@settings(deadline=None)
@given(steps=irregular, seed=st.integers(0, 9), timeframe=st.sampled_from(["1h", "6h", "1D"]), data=st.data())
def test_a_change_of_later_bars_changes_no_earlier_value(
    steps: list[int], seed: int, timeframe: str, data: st.DataObject
) -> None:
    bars = at(pd.DatetimeIndex(np.cumsum(steps) * MINUTE + 19_723 * 24 * HOUR), seed)
    k = data.draw(st.integers(1, len(steps) - 1))
    moved = bars._replace(**{
        name: np.r_[getattr(bars, name)[:k], getattr(bars, name)[k:] * 2.0]
        for name in ("open", "high", "low", "close", "volume", "score")
    })  # fmt: skip
    for name in ("close", "high", "volume", "score"):
        one, other = (
            align(getattr(higher, name), higher, known)
            for known in (bars, moved)
            for higher in (resample(known, timeframe),)
        )
        np.testing.assert_array_equal(one[:k], other[:k])


@settings(deadline=None)
@given(steps=irregular, seed=st.integers(0, 9), zone=st.sampled_from(["UTC", NEW_YORK]))
def test_by_way_of_hours_or_at_once_a_day_is_the_same(steps: list[int], seed: int, zone: str) -> None:
    bars = at(pd.DatetimeIndex(np.cumsum(steps) * MINUTE + 19_790 * 24 * HOUR), seed)
    at_once = resample(bars, "1D", timezone=zone)
    by_way = resample(resample(bars, "1h", timezone=zone), "1D", timezone=zone)
    np.testing.assert_array_equal(np.array(by_way), np.array(at_once))
    assert content_hash(resample(at_once, "1D", timezone=zone)) == content_hash(at_once)


def test_bars_close_when_the_step_has_passed_or_the_next_opens() -> None:
    minutes = np.array([0, 3000, 3060, 3120, 3137, 3180, 3240, 6000])
    expected = [0, 3000, 3120, 3137, 3180, 3180 + 43, 3240 + 43, 6000 + 43]  # a step of 17 is a stray
    assert (closes(minutes * MINUTE) // MINUTE).tolist() == expected


def test_parts_and_pickles_keep_the_time_frame() -> None:
    bars = at(pd.date_range("2024-01-01", periods=100, freq="1h"))
    days = resample(bars, "1D", timezone=NEW_YORK, offset="30m")
    again = pickle.loads(pickle.dumps(days))
    for one in (again, slice_bars(days, 0, 3), take(days, slice(0, 3))):
        n = len(one.close)
        np.testing.assert_array_equal(align(one.close, one, bars)[:60], align(days.close, days, bars)[:60])
        assert n in (3, len(days.close))
    assert type(unframed(days)) is type(bars)


@strategy
def day_known_at_its_end(bars: Bars, p: Any) -> Any:
    days = resample(bars, "1D")
    return above(bars.close, align(sma(days.close, 2), days, bars))


@strategy
def day_known_at_its_first_bar(bars: Bars, p: Any) -> Any:
    days = resample(bars, "1D")
    today = np.searchsorted(days.timestamp, bars.timestamp, side="right") - 1
    return above(bars.close, days.close[today])


def frame_known_at_its_end(df: pd.DataFrame, params: Any) -> pd.Series:
    days = resample(df, "1D")
    return (df["close"] > align(days.close, days, df)).astype(float)


def test_the_conformance_suite_finds_a_day_known_at_its_first_bar() -> None:
    assert check_strategy(day_known_at_its_end, {}).unproven == ()
    with pytest.raises(StrategyError, match="looks ahead"):
        check_strategy(day_known_at_its_first_bar, {})


def test_a_function_of_a_frame_resamples_too() -> None:
    bars = at(pd.date_range("2024-01-01", periods=200, freq="1h"))
    result = BacktestEngine().run_realistic(to_frame(bars), frame_known_at_its_end, {})
    days = resample(bars, "1D")
    expected = np.nan_to_num(above(bars.close, align(days.close, days, bars)))
    np.testing.assert_array_equal(frame_known_at_its_end(to_frame(bars), {}), expected)
    assert len(result.trades) > 3


@pytest.mark.parametrize(
    ("timeframe", "more", "said"),
    [
        ("7h", {}, "'7h': below a day it must divide the day"),
        ("1x", {}, "'1x': must be a number and one of s, m"),
        ("0D", {}, "'0D': must be a number"),
        ("15m", {}, "'15m' is finer than the bars, which are at least 2 hours apart"),
        ("24M", {}, "no longer than a year"),
        ("1D", {"timezone": "Mars"}, "no such time zone"),
        ("1D", {"offset": "24h"}, "offset = '24h': must be shorter than a day"),
    ],
)
def test_what_is_no_time_frame_is_refused(timeframe: str, more: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        resample(at(pd.date_range("2024-01-01", periods=9, freq="2h")), timeframe, **more)


@pytest.mark.parametrize(
    ("step", "finer", "apart"),
    [("1h", "30m", "1 hour"), ("1h", "1m", "1 hour"), ("1min", "30s", "1 minute"), ("2h", "1h", "2 hours")],
)
def test_a_time_frame_finer_than_short_bars_is_refused_too(step: str, finer: str, apart: str) -> None:
    bars = at(pd.date_range("2024-01-01", periods=9, freq=step))
    with pytest.raises(DataError, match=f"'{finer}' is finer than the bars, which are at least {apart} apart; give"):
        resample(bars, finer)
    same = resample(bars, step.replace("min", "m"))
    np.testing.assert_array_equal(same.close, bars.close)


def test_days_of_twenty_five_hours_are_days() -> None:
    """The third of November 2024 is an hour longer in New York: two bars a day apart there are 25 hours apart."""
    bars = at(pd.DatetimeIndex(["2024-11-03", "2024-11-04"], tz=NEW_YORK).tz_convert("UTC"))
    assert np.diff(bars.timestamp).tolist() == [25 * HOUR]
    np.testing.assert_array_equal(resample(bars, "1D", timezone=NEW_YORK).timestamp, bars.timestamp)


def test_letters_that_mean_one_thing_are_read_in_either_case() -> None:
    for lower, upper in (("4h", "4H"), ("2d", "2D"), ("1w", "1W")):
        assert make_frame(lower) == make_frame(upper)
    assert make_frame("1m").length * 60 * 24 * 31 == make_frame("1M").length  # minutes, months


def test_only_resampled_bars_are_aligned() -> None:
    bars = at(pd.date_range("2024-01-01", periods=90, freq="1h"))
    days = resample(bars, "1D")
    with pytest.raises(DataError, match="source must be what resample"):
        align(bars.close, bars, bars)
    with pytest.raises(DataError, match=r"values has the shape \(90,\), source 4 bars"):
        align(bars.close, days, bars)
