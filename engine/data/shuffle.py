"""Markets without a pattern in time: the same bars in another order.

A bar is taken apart into its changes: open over the close before it, high, low and close over its own open, volume.
What is shuffled is these changes, all of a bar together. Start, end, drift, the distribution of the changes and what
instruments have in common stay; whatever one bar says about the next is gone. Features stay where they are; the finer
bars inside a bar (engine.data.detail) are a part of it, and go where it goes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.bars import INCOME, Bars, add_features, features_of, make_bars, plain_bars
from engine.data.calendar import on_own_bars
from engine.data.detail import carry_detail
from engine.errors import DataError, ParameterError

_DAY = 86_400_000_000_000  # nanoseconds
_INTRADAY = 0.75 * _DAY  # bars closer than this have a time of day
_STRATA, _FEWEST = 10, 30  # strata of volatility, and bars in each
_SPAN = 20  # bars: of the exponential mean that volatility is measured by

Order = NDArray[np.intp]


def shuffled(
    instruments: Sequence[Bars], rng: np.random.Generator, *, block: int = 1, like_volatility: bool = False
) -> tuple[Bars, ...]:
    """The instruments with their bars' changes in another order, the same for all; the first bar of each stays.

    block: so many consecutive bars stay together; 1 shuffles single bars. like_volatility: single bars trade places
    only with bars around which the market was as wild, so that quiet and wild stretches stay where they are.
    Bars within the day trade places with bars at the same time of day (UTC), blocks with blocks whose bars are at the
    same times; a block longer than a day is made of whole days. Where instruments have different calendars,
    their bars follow one order of all times; on a union of calendars too, where the holes stay.
    Raises ParameterError for block < 1 or a block of several bars with like_volatility, DataError for fewer than three
    bars.
    """
    if block < 1 or (block > 1 and like_volatility):
        raise ParameterError(f"block = {block} breaks the rule block >= 1, and = 1 with like_volatility")
    return on_own_bars(instruments, lambda own: _in_another_order(own, rng, block, like_volatility))


def _in_another_order(
    instruments: Sequence[Bars], rng: np.random.Generator, block: int, like_volatility: bool
) -> tuple[Bars, ...]:
    if min(len(bars.close) for bars in instruments) < 3:
        raise DataError("shuffling needs at least 3 bars of each instrument")
    times = np.unique(np.concatenate([bars.timestamp[1:] for bars in instruments]))
    intraday = bool(np.median(np.diff(times)) < _INTRADAY)
    if block == 1:
        kind = np.unique(times % _DAY, return_inverse=True)[1] if intraday else np.zeros(len(times), np.intp)
        kind = _by_volatility(instruments, times, kind) if like_volatility else kind
        rank = rng.permutation(len(times))
    else:
        kind = _days_apart(times, block) if intraday else (np.arange(len(times)) + rng.integers(block)) // block
        rank = rng.permutation(int(kind.max()) + 1)[kind]
    order = _within if block == 1 else _same_times if intraday else _one_after_another
    places = [np.searchsorted(times, bars.timestamp[1:]) for bars in instruments]
    return tuple(
        _rebuilt(bars, order(bars.timestamp[1:], kind[place], rank[place]))
        for bars, place in zip(instruments, places, strict=True)
    )


def _by_volatility(instruments: Sequence[Bars], times: NDArray[np.int64], kind: Order) -> Order:
    """Each kind of bar cut into strata by the volatility around it: at most _STRATA, of at least _FEWEST."""
    wild = np.zeros(len(times))
    for bars in instruments:
        size = np.abs(np.diff(np.log(bars.close)))
        wild[np.searchsorted(times, bars.timestamp[1:])] += size / max(float(size.mean()), 1e-300)
    around = _before(wild) + _before(wild[::-1])[::-1]
    found = np.empty(len(times), np.intp)
    for one in np.unique(kind):
        place = np.flatnonzero(kind == one)
        strata = int(np.clip(len(place) // _FEWEST, 1, _STRATA))
        order = np.argsort(np.argsort(around[place], kind="stable"), kind="stable")
        found[place] = one * _STRATA + order * strata // len(place)
    return found


def _before(wild: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponential mean of what went before each bar, the bar itself left out."""
    found, level, weight = np.empty(len(wild)), float(wild[:_SPAN].mean()), 2.0 / (_SPAN + 1)
    for t, now in enumerate(wild.tolist()):
        found[t] = level
        level += weight * (now - level)
    return found


def _within(times: NDArray[np.int64], kind: Order, rank: Order) -> Order:
    """Which bar comes at each place: bars of one kind by rank, at the places of that kind."""
    order = np.empty(len(times), np.intp)
    order[np.lexsort((np.arange(len(times)), kind))] = np.lexsort((rank, kind))
    return order


def _one_after_another(times: NDArray[np.int64], chunk: Order, rank: Order) -> Order:
    """Likewise chunk after chunk by rank, a chunk's bars in their own order."""
    return np.argsort(rank, kind="stable")


def _days_apart(times: NDArray[np.int64], block: int) -> Order:
    """The number of each bar's chunk: `block` bars of one day, or whole days where that is longer than one."""
    day, first, count = np.unique(times // _DAY, return_inverse=True, return_counts=True)[0:3]
    usual = int(np.median(count))
    days = max(1, round(block / usual))
    start = np.concatenate(([0], np.cumsum(count)[:-1]))[first]
    piece = (np.arange(len(times)) - start) // block if days == 1 and block < usual else np.zeros(len(times), np.intp)
    key = (day[first] - day[0]) // days * (usual + int(count.max()) + 1) + piece
    return np.asarray(np.unique(key, return_inverse=True)[1], dtype=np.intp)


def _same_times(times: NDArray[np.int64], chunk: Order, rank: Order) -> Order:
    """Likewise where a chunk may only take the place of one whose bars are at the same times of day."""
    start = np.flatnonzero(np.diff(chunk, prepend=-1))
    length = np.diff(start, append=len(times))
    nth = np.arange(len(times)) - np.repeat(start, length)
    mixed = (times % _DAY + nth * _DAY + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sums = np.add.reduceat(mixed ^ (mixed >> np.uint64(29)), start)  # of equal times equal, of others hardly ever
    kind = np.unique(np.stack([sums, length.astype(np.uint64)]), axis=1, return_inverse=True)[1].ravel()
    source = np.lexsort((rank[start], kind))
    place = np.lexsort((np.arange(len(start)), kind))
    moved = np.empty(len(start), np.intp)
    moved[place] = source
    size = length[moved]
    within = np.arange(len(times)) - np.repeat(np.cumsum(size) - size, size)
    return np.asarray(np.repeat(start[moved], size) + within)


def noisy(instruments: Sequence[Bars], rng: np.random.Generator, share: float) -> tuple[Bars, ...]:
    """The instruments with each bar's changes times 1 + share * z, z standard normal: one number a bar for them all."""
    times = np.unique(np.concatenate([bars.timestamp for bars in instruments]))
    factor = 1.0 + share * rng.standard_normal(len(times))
    return on_own_bars(
        instruments,
        lambda own: [
            _rebuilt(bars, np.arange(len(bars.close) - 1), factor[np.searchsorted(times, bars.timestamp[1:])])
            for bars in own
        ],
    )


def resampled(instruments: Sequence[Bars], rng: np.random.Generator, block: int) -> tuple[Bars, ...]:
    """The instruments with blocks of bars drawn again, with replacement: the moving-block bootstrap of their changes.

    Instruments of one length have the same blocks, others blocks of their own.
    """
    return on_own_bars(instruments, lambda own: _drawn_again(own, rng, block))


def _drawn_again(instruments: Sequence[Bars], rng: np.random.Generator, block: int) -> tuple[Bars, ...]:
    orders: dict[int, Order] = {}
    for n in dict.fromkeys(len(bars.close) - 1 for bars in instruments):
        size = min(block, n)
        starts = rng.integers(0, n - size + 1, -(-n // size))
        orders[n] = np.concatenate([np.arange(start, start + size) for start in starts])[:n].astype(np.intp)
    return tuple(_drawn(bars, orders[len(bars.close) - 1]) for bars in instruments)


def _drawn(bars: Bars, order: Order) -> Bars:
    """The bars rebuilt in an order in which some come twice; features come with their bars."""
    moved = {name: np.concatenate((column[:1], column[1:][order])) for name, column in features_of(bars).items()}
    rebuilt = _rebuilt(bars, order)
    return add_features(rebuilt, moved) if moved else rebuilt


def _rebuilt(bars: Bars, order: Order, factor: NDArray[np.float64] | float = 1.0) -> Bars:
    """The bars after the first with the changes of the bars order + 1, times a factor, at the times they had."""
    opened = np.log(bars.open[1:])
    gap = (opened - np.log(bars.close[:-1]))[order] * factor
    move, up, down = ((np.log(column[1:]) - opened)[order] * factor for column in (bars.close, bars.high, bars.low))
    closed = np.log(bars.close[0]) + np.cumsum(gap + move)
    before = np.concatenate(([np.log(bars.close[0])], closed[:-1]))
    open_, close = np.exp(before + gap), np.exp(closed)
    high = np.maximum(np.exp(before + gap + up), np.maximum(open_, close))  # rounding may not turn a bar inside out
    low = np.minimum(np.exp(before + gap + down), np.minimum(open_, close))
    columns = zip(plain_bars(bars)[1:], (open_, high, low, close, bars.volume[1:][order]), strict=True)
    moved = (np.concatenate((column[:1], new)) for column, new in columns)
    rows, features = np.concatenate(([0], order + 1)), features_of(bars)
    if INCOME in features:
        features[INCOME] = features[INCOME][rows]
    return carry_detail(bars, make_bars(bars.timestamp, *moved, features=features), rows, factor)
