"""What bars look like: time frame, gaps, sessions, and what is strange about them. Nothing is changed."""

from __future__ import annotations

import zoneinfo
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.bars import Bars
from engine.data.times import find_zone

MOST = 1000
LONG = 10.0  # a gap is long when it is so many times the longest usual step
_USUAL = 3  # a step that occurs so often is usual
_SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
_NEAR = 0.03  # a change is as of a split within this share
_LARGE = 0.3  # a bar that leaves so little of the price, or adds as much, is told whatever its share
_SPIKE, _LEAST_SPIKE = 25.0, 0.03  # in median absolute log changes; and at least
_MANY_IDLE = 0.1
_SECOND = 10**9
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
_UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Gap(NamedTuple):
    """Two bars further apart than usual."""

    bar: int  # the bar after the gap
    start: str
    end: str
    seconds: float


class Jump(NamedTuple):
    """A change of price from one close to the next."""

    bar: int
    time: str
    change: float  # -0.75: three quarters are lost
    split: str  # "4:1" where it looks like one, "" where it does not


class Findings(NamedTuple):
    """Of n bars."""

    n_bars: int
    first: str
    last: str
    step_seconds: float  # the median
    usual_seconds: float  # the longest usual step
    gaps: tuple[Gap, ...]  # the steps longer than the usual ones; the longest MOST of them
    jumps: tuple[Jump, ...]
    spikes: tuple[Jump, ...]  # bars that leave the price and come back
    idle: int  # bars without volume
    sessions: str

    @property
    def long_gaps(self) -> tuple[Gap, ...]:
        """Those of more than LONG times the longest usual step, the longest first."""
        long = [gap for gap in self.gaps if gap.seconds > LONG * self.usual_seconds]
        return tuple(sorted(long, key=lambda gap: -gap.seconds))

    @property
    def many_idle(self) -> bool:
        """Whether many bars have no volume, though some have."""
        return self.n_bars * _MANY_IDLE < self.idle < self.n_bars


def inspect(bars: Bars, timezone: str | None = None) -> Findings:
    """What is found in the bars; times of sessions are in `timezone` (UTC). Bars of at least 2 bars."""
    steps = np.diff(bars.timestamp)
    usual = usual_step(steps)
    gaps = tuple(
        Gap(int(i) + 1, shown(bars, int(i)), shown(bars, int(i) + 1), steps[i] / _SECOND)
        for i in _longest(steps, usual)
    )
    spikes = _spikes(bars)
    return Findings(
        len(bars.close),
        shown(bars, 0),
        shown(bars, -1),
        float(np.median(steps)) / _SECOND,
        usual / _SECOND,
        gaps,
        _jumps(bars, spikes),
        tuple(_jump(bars, int(i)) for i in spikes),
        int((bars.volume == 0).sum()),
        _sessions(bars.timestamp, find_zone(timezone)),
    )


def _longest(steps: NDArray[np.int64], usual: int) -> NDArray[np.int64]:
    """Where steps are longer than usual: the longest MOST, in order."""
    over = np.flatnonzero(steps > usual)
    return np.sort(over[np.argsort(-steps[over], kind="stable")[:MOST]])


def usual_step(steps: NDArray[np.int64]) -> int:
    """The longest step that occurs at least three times, nanoseconds; the longest of the short half where none does."""
    lengths, counts = np.unique(steps, return_counts=True)
    often = lengths[counts >= _USUAL]
    return int(often.max()) if len(often) else int(np.median(steps))


def spoken(seconds: float) -> str:
    """`1 day`, `5 minutes`, `1.5 hours`."""
    name, length = next((unit for unit in _UNITS if seconds >= unit[1]), _UNITS[-1])
    number = seconds / length
    return f"{number:.3g} {name}" + ("" if number == 1 else "s")


def shown(bars: Bars, i: int) -> str:
    """The time of a bar, UTC; without a time of day where that is midnight."""
    text = str(bars.timestamp[i].astype("datetime64[ns]").astype("datetime64[s]"))
    return text.removesuffix("T00:00:00")


def _jumps(bars: Bars, spikes: NDArray[np.int64]) -> tuple[Jump, ...]:
    """Changes as of a split that last, and those beyond all measure; over night or within a bar."""
    ratio = bars.close[1:] / bars.close[:-1]
    opened = bars.open[1:] / bars.close[:-1]
    lasts = np.abs(ratio / opened - 1.0) < 0.2  # it stays there until the close
    found = (ratio < _LARGE) | (ratio > 1 / _LARGE)
    for i in np.flatnonzero(lasts & (np.abs(np.log(opened)) > np.log(2.0 - 2 * _NEAR))):
        found[i] |= bool(_split(float(opened[i])))
    back = {int(i) for spike in spikes for i in (spike, spike + 1)}
    return tuple(_jump(bars, int(i) + 1) for i in np.flatnonzero(found) if int(i) + 1 not in back)


def _split(ratio: float) -> str:
    """`4:1` of a price that is a quarter, `1:4` of one that is fourfold; empty where it looks like no split."""
    for k in _SPLITS:
        for factor, text in ((1 / k, f"{k}:1"), (float(k), f"1:{k}")):
            if abs(ratio / factor - 1.0) < _NEAR:
                return text
    return ""


def _jump(bars: Bars, i: int) -> Jump:
    before = bars.close[i - 1]
    change = float(bars.close[i] / before)
    split = _split(float(bars.open[i] / before)) or _split(change)
    return Jump(i, shown(bars, i), change - 1.0, split)


def _spikes(bars: Bars) -> NDArray[np.int64]:
    """Bars whose close is far off both neighbours', which agree; indices, shape (n_spikes,)."""
    change = np.diff(np.log(bars.close))
    if len(change) < 3:
        return np.zeros(0, dtype=np.int64)
    limit = max(_SPIKE * float(np.median(np.abs(change))), _LEAST_SPIKE)
    out, back = change[:-1], change[1:]
    least = np.minimum(np.abs(out), np.abs(back))
    return np.flatnonzero((out * back < 0) & (least > limit) & (np.abs(out + back) < 0.25 * least)) + 1


def _sessions(timestamp: NDArray[np.int64], zone: zoneinfo.ZoneInfo) -> str:
    """On which days of the week and between which times of day there are bars."""
    minutes = _local_minutes(timestamp, zone)
    share = np.bincount((minutes // 1440 + _FIRST_WEEKDAY) % 7, minlength=7) / len(minutes)
    on = [i for i in range(7) if share[i] > 0.01]
    whole = on == list(range(on[0], on[-1] + 1)) and len(on) > 2
    days = f"{_WEEKDAYS[on[0]]}-{_WEEKDAYS[on[-1]]}" if whole else ", ".join(_WEEKDAYS[i] for i in on)
    clock = minutes % 1440
    if len(np.unique(clock)) == 1:
        return f"{days}, one bar a day" if float(np.median(np.diff(timestamp))) < 2 * 86400 * _SECOND else days
    first, last = (f"{int(minute) // 60:02d}:{int(minute) % 60:02d}" for minute in (clock.min(), clock.max()))
    return f"{days}, bars from {first} to {last} {zone.key}"


def _local_minutes(timestamp: NDArray[np.int64], zone: zoneinfo.ZoneInfo) -> NDArray[np.int64]:
    """Minutes since 1970 on the clocks of the zone, shape (n_bars,)."""
    if zone.key != "UTC":
        import pandas as pd

        local = pd.DatetimeIndex(timestamp.astype("datetime64[ns]"), tz="UTC").tz_convert(zone).tz_localize(None)
        timestamp = local.to_numpy("datetime64[ns]").view(np.int64)
    return timestamp // (60 * _SECOND)
