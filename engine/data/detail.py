"""Finer bars of the same instrument inside each bar: what a bar touched first is looked up in them, not assumed.

They travel with the bars as one more column, (n_bars, most in a bar, 3): a slice of the bars has its own, a shuffled
bar takes them along. Only the simulator reads them (engine.simulator.pieces).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled.arrays import Array, Booleans, Integers
from engine.data.bars import Bars, add_detail, detail_of, without_detail
from engine.errors import DataError

NOT_TOGETHER = "detail is of one instrument with an account of its own; a portfolio has none: remove it"
SAME = 1e-6  # of a price: two files round differently
_SHOWN = 5


class Coverage(NamedTuple):
    """Which bars have detail; each of shape (n_bars,)."""

    detailed: Booleans
    differing: Booleans  # finer bars are there, but their highest high or lowest low is not the bar's
    single: Booleans  # there is one only, which says no more than the bar

    def of(self, start: int, stop: int) -> Coverage:
        """Of the bars start <= t < stop."""
        return Coverage(*(column[start:stop] for column in self))

    @property
    def share(self) -> float:
        """The share of the bars that have detail."""
        return float(self.detailed.mean())

    def rows(self) -> str:
        """The first bars that differ, counted from 1."""
        first = ", ".join(str(row + 1) for row in np.flatnonzero(self.differing)[:_SHOWN])
        return first + ", ..." * (int(self.differing.sum()) > _SHOWN)


def attach(bars: Bars, finer: Bars) -> tuple[Bars, Coverage]:
    """The bars with those of a finer time frame inside them, and which of them have some.

    A finer bar lies in the bar that was open at its time: until the next bar's open, or as long as bars usually are
    where that is far away. It counts where all of a bar together reach its high and its low, within SAME.
    Raises DataError where bars have a feature of the name `detail`.
    """
    n = len(bars.close)
    place = np.searchsorted(bars.timestamp, finer.timestamp, side="right") - 1
    inside = (place >= 0) & (finer.timestamp < _ends(bars.timestamp)[place])
    rows, place = np.flatnonzero(inside), place[inside]
    if len(rows) == 0:
        return without_detail(bars), Coverage(*np.zeros((3, n), bool))
    first = np.flatnonzero(np.diff(place, prepend=-1))
    there = place[first]
    highest = np.maximum.reduceat(finer.high[rows], first)
    lowest = np.minimum.reduceat(finer.low[rows], first)
    alike = _same(highest, bars.high[there]) & _same(lowest, bars.low[there])
    counts = np.diff(first, append=len(rows))
    coverage = Coverage(*(_marked(n, there[which]) for which in (alike, ~alike, counts == 1)))
    nth = np.arange(len(rows)) - np.repeat(first, counts)
    kept = coverage.detailed[place]
    rows, place, nth = rows[kept], place[kept], nth[kept]
    detail = np.full((n, int(nth.max()) + 1 if len(nth) else 0, 3), np.nan)
    high, low = finer.high[rows], finer.low[rows]
    detail[place, nth, 0] = np.where(nth == 0, bars.open[place], finer.open[rows])
    detail[place, nth, 1] = np.where(_same(high, bars.high[place]), bars.high[place], high)
    detail[place, nth, 2] = np.where(_same(low, bars.low[place]), bars.low[place], low)
    return add_detail(bars, detail), coverage


def with_detail(bars: Bars, finer: Bars) -> Bars:
    """The bars with those of a finer time frame of the same instrument inside them (docs/engine.md).

    Raises DataError where no bar has detail, more differ from it than agree, or it is no finer.
    """
    found, coverage = attach(bars, finer)
    check_coverage(coverage)
    return found


def check_coverage(coverage: Coverage) -> None:
    """DataError where the finer bars are not of these bars, or no finer."""
    differing, detailed = int(coverage.differing.sum()), int(coverage.detailed.sum())
    if differing > detailed:
        raise DataError(
            f"the detail is of other bars: in {differing:,} of the {differing + detailed:,} bars that have detail "
            f"({differing / (differing + detailed):.0%}; rows {coverage.rows()}) its highest high or lowest low is not "
            "the bar's; give both files in one time zone and adjusted alike, or make the bars of the detail (timeframe)"
        )
    if detailed == 0:
        raise DataError("no bar of the detail lies in one of the bars; give a file of the same instrument and time")
    if coverage.single[coverage.detailed].all():
        raise DataError("no bar has more than one bar of the detail in it; give bars of a finer time frame")


def carry_detail(before: Bars, after: Bars, rows: NDArray[np.intp], factor: Array | float = 1.0) -> Bars:
    """`after` with the detail of before[rows], moved with each bar's open; the moves from there times a factor.

    rows: which bar each was, shape (n_bars,). factor: one number, or one for each bar but the first.
    """
    detail = detail_of(before)
    if detail is None:
        return after
    moves = detail[rows] / before.open[rows][:, None, None]
    if not isinstance(factor, float):
        moves = moves ** np.concatenate(([1.0], factor))[:, None, None]
    moved = after.open[:, None, None] * moves
    moved[:, 0, 0] = np.where(np.isnan(moved[:, 0, 0]), np.nan, after.open)
    return add_detail(after, np.clip(moved, after.low[:, None, None], after.high[:, None, None]))


def _ends(times: Integers) -> Integers:
    """Where each bar ends: at the next one's open, or after the usual step where that is more than half of it late."""
    steps = np.diff(times)
    usual = int(np.median(steps))
    lengths: Integers = np.append(np.where(steps > 1.5 * usual, usual, steps), usual)
    return np.asarray(times + lengths)


def _same(left: Array, right: Array) -> Any:
    return np.abs(left - right) <= SAME * right


def _marked(n: int, places: Integers) -> Booleans:
    found = np.zeros(n, dtype=bool)
    found[places] = True
    return found
