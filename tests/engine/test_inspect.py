"""What is found in bars: gaps, splits, spikes, idle bars, sessions; every case is made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.bars import Bars, make_bars
from engine.data.inspect import inspect, spoken


def bars(close: object, times: object = None, volume: object = 1.0) -> Bars:
    prices = np.asarray(close, dtype=float)
    index = pd.bdate_range("2024-01-01", periods=len(prices)) if times is None else pd.DatetimeIndex(times)
    return make_bars(index.as_unit("ns").asi8, *[prices] * 4, np.broadcast_to(volume, prices.shape))


WAVE = 100 + np.tile([0.0, 0.5, 1.0, 0.5], 25)  # never more than half a percent in a bar


def test_plain_bars_have_nothing_strange() -> None:
    found = inspect(bars(WAVE))
    assert (found.gaps, found.jumps, found.spikes, found.idle) == ((), (), (), 0)
    assert (found.step_seconds, found.usual_seconds) == (86400.0, 3 * 86400.0)  # over a weekend: three days
    assert (found.first, found.last) == ("2024-01-01", "2024-05-17")
    assert found.sessions == "Mon-Fri, one bar a day"


@pytest.mark.parametrize(("factor", "split"), [(1 / 2, "2:1"), (1 / 4, "4:1"), (1 / 10, "10:1"), (20.0, "1:20")])
def test_a_split_is_seen(factor: float, split: str) -> None:
    (jump,) = inspect(bars(WAVE * np.where(np.arange(100) < 60, 1.0, factor))).jumps
    assert (jump.bar, jump.split) == (60, split)
    assert jump.change == pytest.approx(factor - 1, abs=0.01 * factor)


@pytest.mark.parametrize(("factor", "seen"), [(0.28, True), (0.6, False), (1.5, False), (3.6, True)])
def test_only_what_is_a_split_or_beyond_measure_is_a_jump(factor: float, seen: bool) -> None:
    found = inspect(bars(WAVE * np.where(np.arange(100) < 60, 1.0, factor)))
    assert [jump.bar for jump in found.jumps] == [60] * seen
    assert found.spikes == ()


@pytest.mark.parametrize("factor", [0.5, 0.85, 1.2, 100.0])
def test_a_price_that_comes_back_is_a_spike_and_no_split(factor: float) -> None:
    found = inspect(bars(WAVE * np.where(np.arange(100) == 60, factor, 1.0)))
    assert [spike.bar for spike in found.spikes] == [60]
    assert found.jumps == ()


def test_a_gap_is_long_beside_the_longest_usual_step() -> None:
    days = pd.bdate_range("2024-01-01", periods=100)
    later = days.where(np.arange(100) < 50, days + pd.Timedelta(days=28))
    (gap,) = inspect(
        bars(WAVE, later)
    ).long_gaps  # 50 bars: the last on a Friday, the next on the Monday after four weeks
    assert (gap.bar, gap.start, gap.end, gap.seconds) == (50, "2024-03-08", "2024-04-08", 31 * 86400.0)
    sooner = days.where(np.arange(100) < 50, days + pd.Timedelta(days=7))
    found = inspect(bars(WAVE, sooner))
    assert (len(found.gaps), found.long_gaps) == (1, ())


def test_nights_and_weekends_are_usual() -> None:
    minutes = pd.DatetimeIndex(
        [
            day + pd.Timedelta(minutes=9 * 60 + 30 + 30 * k)
            for day in pd.bdate_range("2024-01-01", "2024-02-02")
            for k in range(13)
        ]
    )
    local = minutes.tz_localize("America/New_York")
    closes = np.resize(WAVE, len(local))
    found = inspect(bars(closes, local.tz_convert("UTC").tz_localize(None)), "America/New_York")
    assert found.gaps == ()
    assert found.sessions == "Mon-Fri, bars from 09:30 to 15:30 America/New_York"


def test_idle_bars_are_many_when_some_trade() -> None:
    idle = np.where(np.arange(100) < 11, 0.0, 1.0)
    assert inspect(bars(WAVE, volume=idle)).many_idle
    assert not inspect(bars(WAVE, volume=[*idle[1:], 1.0])).many_idle
    assert not inspect(bars(WAVE, volume=0.0)).many_idle


@pytest.mark.parametrize(
    ("seconds", "text"), [(86400, "1 day"), (300, "5 minutes"), (5400, "1.5 hours"), (0.5, "0.5 seconds")]
)
def test_a_time_is_spoken_in_its_largest_unit(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30), st.floats(1e-3, 1e3))
def test_what_is_found_does_not_depend_on_the_currency(closes: list[float], rate: float) -> None:
    """The price in another currency at a power of two: floats are exact, so must the findings be."""
    power = 2.0 ** round(np.log2(rate))
    first, second = inspect(bars(closes)), inspect(bars(np.array(closes) * power))
    assert [jump.bar for jump in first.jumps] == [jump.bar for jump in second.jumps]
    assert len(first.spikes) == len(second.spikes)
