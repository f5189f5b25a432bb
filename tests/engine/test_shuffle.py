"""Shuffled markets: what stays, what goes, and that every order is as likely as any other."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.bars import Bars, make_bars
from engine.data.shuffle import shuffled
from engine.errors import DataError, ParameterError

DAY = 86_400_000_000_000
HOUR = DAY // 24


def market(times: np.ndarray, seed: int) -> Bars:
    """Bars at these times; the volume of a bar is its number, so that it is known again."""
    rng = np.random.default_rng(seed)
    n = len(times)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    open_ = np.concatenate(([50.0], close[:-1])) * np.exp(rng.normal(0, 0.005, n))
    high = np.maximum(open_, close) * np.exp(rng.uniform(0, 0.01, n))
    low = np.minimum(open_, close) * np.exp(-rng.uniform(0, 0.01, n))
    return make_bars(times, open_, high, low, close, np.arange(n, dtype=float))


def daily(n: int, seed: int = 0) -> Bars:
    return market(np.arange(n) * DAY, seed)


def hourly(days: int, seed: int = 0) -> Bars:
    """Seven bars a day from 14:00, and on every tenth day three."""
    times = [d * DAY + (14 + h) * HOUR for d in range(days) for h in range(3 if d % 10 == 9 else 7)]
    return market(np.array(times), seed)


def changes(bars: Bars) -> np.ndarray:
    """Gap, high, low, move and volume of every bar but the first, (n - 1, 5)."""
    opened = bars.open[1:]
    columns = (opened / bars.close[:-1], bars.high[1:] / opened, bars.low[1:] / opened, bars.close[1:] / opened)
    return np.column_stack([*map(np.log, columns), bars.volume[1:]])


def order_of(bars: Bars) -> list[int]:
    """The bars by the numbers they had, the first one left out."""
    return bars.volume[1:].astype(int).tolist()


MODES = ({}, {"block": 3}, {"block": 20}, {"like_volatility": True})


@given(n=st.integers(3, 90), seed=st.integers(0, 99), mode=st.sampled_from(MODES), intraday=st.booleans())
def test_every_change_is_there_once_and_start_and_end_stay(n: int, seed: int, mode: dict, intraday: bool) -> None:
    bars = hourly(n // 7 + 2, seed) if intraday else daily(n, seed)
    (other,) = shuffled((bars,), np.random.default_rng(seed), **mode)
    assert sorted(order_of(other)) == list(range(1, len(bars.close)))
    mine, theirs = changes(bars), changes(other)
    np.testing.assert_allclose(theirs, mine[np.array(order_of(other)) - 1], rtol=0, atol=1e-9)
    assert [column[0] for column in other] == [column[0] for column in bars]
    assert other.close[-1] == pytest.approx(bars.close[-1], rel=1e-9)
    np.testing.assert_array_equal(other.timestamp, bars.timestamp)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_instruments_are_shuffled_alike(mode: dict) -> None:
    one, two = shuffled((daily(300, 1), daily(300, 2)), np.random.default_rng(5), **mode)
    assert order_of(one) == order_of(two) != list(range(1, 300))


@pytest.mark.parametrize("mode", [{}, {"like_volatility": True}], ids=str)
def test_other_calendars_follow_one_order_of_all_times(mode: dict) -> None:
    """Without a hole in the calendar the order is that of the whole; with one, of two bars the same comes first."""
    whole = daily(200, 1)
    keep = np.array([t for t in range(200) if t % 13])
    part = Bars(*(column[np.concatenate(([0], keep))] for column in whole))
    one, two = shuffled((whole, part), np.random.default_rng(3), **mode)
    there = set(order_of(two))
    if not mode:
        assert [number for number in order_of(one) if number in there] == order_of(two)
    assert there == set(keep.tolist()) - {0}


@pytest.mark.parametrize("block", [1, 3, 7, 14])
def test_bars_within_the_day_keep_their_time_of_day(block: int) -> None:
    """Some days lack their last bars, some another one."""
    whole = hourly(120)
    keep = [i for i in range(len(whole.close)) if i % 31 or not i]
    bars = Bars(*(column[keep] for column in whole))._replace(volume=np.arange(len(keep), dtype=float))
    (other,) = shuffled((bars,), np.random.default_rng(1), block=block)
    assert order_of(other) != order_of(bars)
    slot = bars.timestamp % DAY
    moved = slot[np.array(order_of(other))] == slot[1:]
    assert moved.all()


def test_bars_of_a_block_stay_together() -> None:
    """But for the first and the last block, which may be cut: a step of one in at least (block - 1) / block of bars."""
    (other,) = shuffled((daily(1001),), np.random.default_rng(1), block=20)
    steps = np.diff(order_of(other))
    assert np.mean(steps == 1) >= 19 / 20 - 2 / 1000
    (days,) = shuffled((hourly(60),), np.random.default_rng(1), block=7)
    assert np.mean(np.diff(order_of(days)) == 1) >= 5 / 7


def test_quiet_and_wild_stretches_stay_where_they_are() -> None:
    rng = np.random.default_rng(0)
    calm = np.where(np.arange(2000) // 250 % 2, 0.002, 0.03)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1, 2000) * calm))
    bars = make_bars(np.arange(2000) * DAY, *[close] * 4, np.arange(2000.0))

    def wild(other: Bars) -> float:
        """How much wilder the wild stretches are."""
        sizes = np.abs(np.diff(np.log(other.close), prepend=np.log(other.close[0])))
        return float(sizes[calm > 0.01].mean() / sizes[calm < 0.01].mean())

    (single,) = shuffled((bars,), np.random.default_rng(1))
    (like,) = shuffled((bars,), np.random.default_rng(1), like_volatility=True)
    assert wild(bars) > 10
    assert wild(like) > 10 / 2
    assert wild(single) < 1.5


def test_every_order_is_as_likely() -> None:
    """24 orders of four changes, 4,800 draws, 200 expected each: chi-square with 23 degrees, 49.7 at 0.1 %."""
    bars = daily(5)
    draws = (shuffled((bars,), np.random.default_rng(k))[0] for k in range(4800))
    counts = Counter(tuple(order_of(one)) for one in draws)
    assert set(counts) == set(itertools.permutations(range(1, 5)))
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.7


def test_what_cannot_be_shuffled_is_refused() -> None:
    rng = np.random.default_rng(0)
    for mode in ({"block": 0}, {"block": 2, "like_volatility": True}):
        with pytest.raises(ParameterError, match="block = "):
            shuffled((daily(20),), rng, **mode)
    with pytest.raises(DataError, match="at least 3 bars"):
        shuffled((daily(20), daily(2)), rng)
