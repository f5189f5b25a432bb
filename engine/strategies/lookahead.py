"""Does a strategy look ahead? Its signal is asked for again with fewer bars known, and compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled.arrays import Array
from engine.data.bars import Bars, slice_bars
from engine.data.calendar import own_bars
from engine.errors import StrategyError
from engine.strategies.base import Strategy
from engine.strategies.levels import columns
from engine.strategies.raised import reason

TOLERANCE = 1e-9  # of a target: what matrix products and Fourier transforms of another length may round differently
_BUSY = 3  # times its processor time by the clock: a machine that does other things besides proves as much
_FLOOR, _MOST = 12, 3_000  # shortened histories of one parameter set: at least, however slow it is, and at most


class Probe(NamedTuple):
    """How many shortened histories gave the same signal, and for which parameter sets a signal changed at all."""

    n_compared: int
    moved: tuple[bool, ...]
    failure: str = ""  # of the first set, where no signal changed because a strategy raises or answers with no target


def probe_lookahead(
    strategy: Strategy, params: Sequence[Mapping[str, Any]], instruments: tuple[Bars, ...], seconds: float = 1.0
) -> Probe:
    """Compare the signal of all bars with that of bars 0 ... k - 1 for many k, first where the signal changes.

    instruments: seen together by a joint strategy, else one after the other. seconds: of the processor, shared by the
    sets; a strategy too slow for them has a dozen k a set. A set for which it raises on all bars, and a k for which it
    raises, are left out: too few bars are no look-ahead. A set whose signal never changes proves nothing: `moved` says
    so. StrategyError names bar, time and both values, or says that the signal is random.
    """
    alone = [(bars,) for bars in map(own_bars, instruments) if len(bars.close) > 2]
    markets = [instruments] if strategy.joint else alone
    share = seconds / max(len(params) * len(markets), 1)
    results = [[_probe(strategy, one, market, share, seed) for market in markets] for seed, one in enumerate(params)]
    moved = tuple(any(moved for _, moved in row) for row in results)
    failure = "" if any(moved) or not (params and markets) else _failure(strategy, params[0], markets[0])
    return Probe(sum(compared for row in results for compared, _ in row), moved, failure)


def _probe(
    strategy: Strategy, params: Mapping[str, Any], market: tuple[Bars, ...], seconds: float, seed: int
) -> tuple[int, bool]:
    """How many shortened histories were compared, and whether the signal changed in any."""
    whole, n_targets = _answer(strategy, params, market), len(market) if strategy.joint else 1
    if whole is None or not (np.abs(whole[:, :n_targets]) <= 1).all():  # its trials fail, with the reason
        return 0, False
    _same_again(strategy, params, market, whole)
    until, deadline = time.thread_time() + seconds, time.monotonic() + _BUSY * seconds
    compared, moved = 0, bool(_moves(whole).any())
    for i, k in enumerate(shortened(whole, seed)):
        if i >= _FLOOR and (time.thread_time() > until or time.monotonic() > deadline):
            break
        known = tuple(slice_bars(bars, 0, int(k)) for bars in market)
        part = _answer(strategy, params, known)
        if part is None:
            continue
        compared += 1
        moved = moved or bool(_moves(part).any())
        if (bar := _first_difference(whole[:k], part)) >= 0:
            _same_again(strategy, params, market, whole)
            _same_again(strategy, params, known, part)
            raise StrategyError(_sentence(strategy, params, market, bar, whole, part))
    return compared, moved


def shortened(whole: Array, seed: int = 0) -> NDArray[np.int64]:
    """Numbers k of known bars, 2 <= k < n_bars, the most telling ones first, the same for the same signal and seed.

    whole: the signal, shape (n_bars, k). Where it changes, the last known bar is the changed one or the one before:
    what looks ahead by one bar shows nowhere else. Half of these are the shortest runs, the others any; then come all.
    """
    n_bars, rng = len(whole), np.random.default_rng(seed)
    changed = np.flatnonzero(_moves(whole)) + 1
    short = changed[np.argsort(np.diff(changed, append=n_bars), kind="stable")]
    mixed = np.stack([short, rng.permutation(changed)], axis=1).ravel()
    telling = np.stack([mixed + 1, mixed], axis=1).ravel()
    every = np.concatenate([telling[: _MOST // 2], rng.permutation(np.arange(2, n_bars))])
    _, first = np.unique(every, return_index=True)
    ordered = every[np.sort(first)]
    return ordered[(ordered >= 2) & (ordered < n_bars)][:_MOST]


def _answer(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...]) -> Array | None:
    """The signal as the strategy gives it, shape (n_bars, k); None when it raises."""
    try:
        bound = strategy.bind(params)
        return columns(
            strategy.answer_all(instruments, bound) if strategy.joint else strategy.answer(instruments[0], bound)
        )
    except Exception:  # noqa: BLE001 - a user's strategy may raise anything; its trial will fail with the reason
        return None


def _failure(strategy: Strategy, params: Mapping[str, Any], market: tuple[Bars, ...]) -> str:
    """Why the strategy has no usable signal on these bars, as a trial would say it; empty where it has one."""
    try:
        bound = strategy.bind(params)
        answer = strategy.answer_all(market, bound) if strategy.joint else strategy.answer(market[0], bound)
        strategy.refuse_unusable(answer.target)
    except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything
        return reason(strategy, error)
    return ""


def _moves(signal: Array) -> NDArray[np.bool_]:
    """Whether each bar but the first has another target or level than the one before; none to none is no change."""
    before, after = signal[:-1], signal[1:]
    return np.asarray(((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=1))


def _same_again(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], before: Array) -> None:
    again = _answer(strategy, params, instruments)
    if again is None or (bar := _first_difference(before, again)) >= 0:
        values = "it raises" if again is None else f"bar {bar} is {_shown(before[bar])} and then {_shown(again[bar])}"
        raise StrategyError(
            f"{strategy.name}({dict(params)}) differs when asked for again with the same bars: {values}; it draws "
            "random numbers or remembers its calls: seed it from its parameters, or no trial can be repeated"
        )


def _first_difference(one: Array, other: Array) -> int:
    """The first bar at which two signals differ, NaN from numbers included; -1 when there is none."""
    differs = ~((np.abs(one - other) <= TOLERANCE) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return int(differs.argmax()) if differs.any() else -1


def _sentence(
    strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], bar: int, whole: Array, part: Array
) -> str:
    moment = instruments[0].timestamp[bar].astype("datetime64[ns]").astype("datetime64[s]")
    return (
        f"{strategy.name}({dict(params)}) looks ahead: at bar {bar} ({moment}Z) its signal is {_shown(whole[bar])} "
        f"when all {len(whole)} bars are known, but {_shown(part[bar])} when only bars 0 to {len(part) - 1} are; "
        "the signal of a bar may use this bar and those before it only"
    )


def _shown(row: Array) -> str:
    values = [float(value) for value in row]
    return f"{values[0]!r}" if len(values) == 1 else f"{values!r}"
