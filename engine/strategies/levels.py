"""What a strategy answers: a target exposure, and the prices at which it wants to be let in and out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.errors import StrategyError
from engine.simulator.ladder import SHARE_TOLERANCE
from engine.simulator.moving import BREAK_AT, LIMIT_AT, N_MOVING

NO_LEVELS: Array = np.empty((0, 0))
MOST_RUNGS = 50  # whether each is taken is a bit of a float


class Signal(NamedTuple):
    """A target exposure with levels that move; each an array of shape (n_bars,), or None for none.

    Of a strategy for k instruments each has the shape (n_bars, k), and there are no entry orders.
    A level of bar t is known at its close and in force in bar t + 1; NaN is none. docs/engine.md has the exact rules.
    """

    target: Any  # in [-1, 1]
    stop: Any = None  # a price: beyond it the position is closed by a market order
    take_profit: Any = None  # a price: there a limit order closes it; or a ladder, pairs of prices and a share
    trailing: Any = None  # a distance from the best price since the entry, in the same unit as prices
    entry_limit: Any = None  # a price: the position is opened there, or better, not at the open
    entry_stop: Any = None  # a price: the position is opened once it is passed


class Answer(NamedTuple):
    """A signal as the simulator takes it: of one instrument, or of k that share an account."""

    target: Array  # (n_bars,); (n_bars, k)
    moving: Array  # (rows, n_bars), rows as in engine.simulator.moving, (0, 0) for none; (k, rows, n_bars), (k, 0, 0)


def as_answer(name: str, given: Any, shaped: Callable[[str, Any], Array]) -> Answer:
    """What a strategy returned; shaped: makes an array of shape (n_bars,), or (n_bars, k), of one of its parts, given
    with its name.

    Raises StrategyError naming the bar and the level that is no price.
    """
    if not isinstance(given, Signal):
        return without_levels(shaped("target", given))
    target, rungs = shaped("target", given.target), _rungs(name, given.take_profit)
    levels = (given._replace(take_profit=None) if rungs else given)[1:]
    named = list(zip(Signal._fields[1:], levels, strict=True))
    if not rungs and all(level is None for level in levels):
        return without_levels(target)
    moving = np.full((N_MOVING + 2 * len(rungs), *target.shape), np.nan)
    for row, (field, level) in enumerate(named):
        if level is not None:
            moving[row] = _prices(name, field, shaped(field, level))
    for k, (level, share) in enumerate(rungs):
        field = f"rung {k + 1} of take_profit"
        moving[N_MOVING + 2 * k] = _prices(name, field, shaped(field, level))
        moving[N_MOVING + 2 * k + 1] = share
    both = ~np.isnan(moving[LIMIT_AT]) & ~np.isnan(moving[BREAK_AT])
    if both.any():
        bar = int(both.argmax()) * len(target) // target.size
        raise StrategyError(f"{name}: bar {bar} has entry_limit and entry_stop; give one of them")
    return Answer(target, moving if target.ndim == 1 else np.ascontiguousarray(moving.transpose(2, 0, 1)))


def of_shape(name: str, shape: tuple[int, ...], field: str, given: Any) -> Array:
    """A part of what a strategy returned as an array of its own. Raises StrategyError naming the part."""
    if given is None:
        raise StrategyError(f"{name} returned None as {field}; is a return missing?")
    try:
        array = np.asarray(given, dtype=np.float64, order="C")
        array = array if array.flags.writeable else array.copy()  # kernels are compiled for one of the two
    except (TypeError, ValueError):
        said = f"{name} returned {field} as {type(given).__name__}, not as an array of numbers"
        raise StrategyError(said) from None
    if array.ndim == 0:
        raise StrategyError(f"{name} returned {field} as one number; give an array of shape {shape}")
    if array.shape != shape:
        raise StrategyError(f"{name} returned {field} of shape {array.shape}, expected {shape}, one for each bar")
    return array


def without_levels(target: Array) -> Answer:
    """The answer of a target alone, of shape (n_bars,) or (n_bars, k)."""
    return Answer(target, NO_LEVELS if target.ndim == 1 else np.empty((*target.shape[1:], 0, 0)))


def side_by_side(answers: Sequence[Answer]) -> Answer:
    """The answers of instruments on one calendar as one of shape (n_bars, k); one without levels, or rungs, has NaN."""
    target = np.stack([answer.target for answer in answers], axis=1)
    rows = max(len(answer.moving) for answer in answers)
    if rows == 0:
        return without_levels(target)
    moving = np.full((len(answers), rows, len(target)), np.nan)
    for i, answer in enumerate(answers):
        if answer.moving.size:
            moving[i, : len(answer.moving)] = answer.moving
    return Answer(target, moving)


def columns(answer: Answer) -> Array:
    """Target and levels side by side, one row a bar, NaN for no level: what is compared where answers are."""
    target, moving = answer
    return np.hstack([target.reshape(len(target), -1), moving.reshape(-1, len(target)).T])


def refuse_entries(name: str, moving: Array) -> None:
    """StrategyError where levels (k, rows, n_bars) of a portfolio have an entry order."""
    if moving.size and not np.isnan(moving[:, [LIMIT_AT, BREAK_AT]]).all():
        raise StrategyError(
            f"{name} sets entry_limit or entry_stop, which a portfolio does not know: an order filled inside a bar "
            "would need cash that the other instruments share; leave them out, or set portfolio = false"
        )


def _prices(name: str, field: str, level: Array) -> Array:
    usable = np.isnan(level) | ((level > 0.0) & (level < np.inf))
    if not usable.all():
        at = int(usable.argmin())
        bar = at * len(level) // level.size
        said = f"{field} at bar {bar} is {level.flat[at]}, must be above 0 and finite, or NaN for none"
        raise StrategyError(f"{name}: {said}")
    return level


def _rungs(name: str, given: Any) -> list[tuple[Any, float]]:
    """The rungs of a ladder; none where take_profit is a price per bar."""
    if not (isinstance(given, (tuple, list)) and given and isinstance(given[0], (tuple, list))):
        return []
    if not all(isinstance(rung, (tuple, list)) and len(rung) == 2 for rung in given):
        raise StrategyError(f"{name}: a rung of take_profit is a pair: prices, one a bar, and the share it takes")
    if len(given) > MOST_RUNGS:
        raise StrategyError(f"{name}: take_profit has {len(given)} rungs, at most {MOST_RUNGS}")
    for k, (_, share) in enumerate(given):
        if not (isinstance(share, (int, float)) and 0.0 < share <= 1.0):
            raise StrategyError(f"{name}: rung {k + 1} of take_profit takes {share!r}, must be above 0 and at most 1")
    if (whole := math.fsum(share for _, share in given)) > 1.0 + SHARE_TOLERANCE:
        raise StrategyError(f"{name}: the rungs of take_profit take {whole:g} of a position together, at most 1")
    return [(level, float(share)) for level, share in given]
