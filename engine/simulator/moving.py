"""Levels that move: stops, take-profits and entry orders that a strategy sets anew at every bar.

A level set at the close of bar t - 1 is in force in bar t. NaN is none.
"""

from __future__ import annotations

import math

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, kernel
from engine.compiled.tolerance import TOLERANCE, exceeds
from engine.simulator.account import Rules
from engine.simulator.exits import Levels
from engine.simulator.orders import (
    BOTH,
    ENTRY_QUANTITY,
    ENTRY_VALUE,
    EXTREME,
    HELD,
    QUANTITY,
    STOP,
    TAKE,
    TRAIL,
    WORKING,
    Books,
    Moment,
    close_position,
    follow,
    market_price,
    on_tick,
)

# Rows of the array of levels, shape (N_MOVING, n_bars): prices, but for the distance of the trailing stop.
STOP_AT, TAKE_AT, TRAIL_BY, LIMIT_AT, BREAK_AT = range(5)
N_MOVING = 5  # and then two more for each rung of a ladder of take-profits: its price, and the share it takes
# How an entry order was filled in a bar. Floats, as in orders.py.
NOT_YET, AT_OPEN, AT_LIMIT, AT_BREAK = map(float, range(4))


@kernel
def n_rungs(moving: Array) -> int:
    """How many rungs the ladder has."""
    return max(len(moving) - N_MOVING, 0) // 2


@inner
def moved(levels: Levels, t: int, moving: Array, state: Array, rules: Rules) -> Levels:
    """The levels of the position held in bar t, with those of the strategy: of two stops or targets the nearer one."""
    side = 1.0 if state[QUANTITY] > 0.0 else -1.0
    stop, take, reason = levels.stop, levels.take, levels.reason
    level = on_tick(moving[STOP_AT, t - 1], -side, rules)
    if exceeds(level * side, stop * side, level):
        stop, reason = level, STOP
    level = on_tick(state[EXTREME] - side * moving[TRAIL_BY, t - 1], -side, rules)
    if exceeds(level * side, stop * side, level):
        stop, reason = level, TRAIL
    level = on_tick(moving[TAKE_AT, t - 1], side, rules)
    if level * side < take * side:
        take = level
    lower, upper = (stop, take) if side > 0.0 else (take, stop)
    return Levels(lower * (1.0 + TOLERANCE), upper * (1.0 - TOLERANCE), stop, take, reason)


@inner
def has_entry(wish: float, t: int, moving: Array, state: Array) -> bool:
    """Whether the position that is wanted in bar t is to be opened by an entry order."""
    if wish == 0.0 or wish * state[QUANTITY] > 0.0:
        return False
    return not (math.isnan(moving[LIMIT_AT, t - 1]) and math.isnan(moving[BREAK_AT, t - 1]))


@inner
def enter(
    wish: float, at: Moment, low: float, high: float, limit: float, broken: float, books: Books, rules: Rules
) -> float:
    """Work an entry order in one bar: NOT_YET, AT_OPEN, AT_LIMIT or AT_BREAK.

    at: the bar's open. A position on the other side is closed there first. limit: the best price paid, NaN for none;
    broken: the price at which it becomes a market order. An order that waits leaves the account flat: HELD is 0.
    """
    state = books.state
    side = 1.0 if wish > 0.0 else -1.0
    if state[QUANTITY] != 0.0:
        follow(0.0, at, BOTH, books, rules)
    state[HELD] = 0.0
    if state[QUANTITY] != 0.0:
        return NOT_YET
    state[WORKING] = 0.0
    limited = not math.isnan(limit)
    ahead = -side if limited else side  # where the level lies, as a rule, seen from the open
    level = on_tick(limit if limited else broken, ahead, rules)
    extreme = high if ahead > 0.0 else low
    if ahead * (at.price - level) >= -TOLERANCE * level:
        price, how = at.price, AT_OPEN
    elif ahead * (extreme - level) >= -TOLERANCE * level:
        price, how = level, AT_LIMIT if limited else AT_BREAK
    else:
        return NOT_YET
    if limited:
        price = price / (1.0 + side * rules.slip)  # `follow` pays slippage, a limit order does not
    follow(wish, Moment(at.t, price, *at[2:]), BOTH, books, rules)
    return how


@inner
def entered_at(how: float, broken: float, state: Array, rules: Rules) -> float:
    """The price at which the bar stood when an entry order was filled after the open."""
    if how == AT_BREAK:
        return on_tick(broken, 1.0 if state[QUANTITY] > 0.0 else -1.0, rules)
    return float(state[ENTRY_VALUE] / abs(state[ENTRY_QUANTITY]))


@inner
def leave_entered(
    t: int, low: float, high: float, how: float, broken: float, levels: Levels, books: Books, rules: Rules
) -> None:
    """Exits of a position in the bar in which its entry order was filled, after the open.

    What lies beyond the entry was touched after it; what lies on the way to it, before or after: nobody knows, and the
    rule `intrabar` decides. A level that is passed already is left at the entry's own price.
    """
    quantity = books.state[QUANTITY]
    side = 1.0 if quantity > 0.0 else -1.0
    entry = entered_at(how, broken, books.state, rules)
    fell, rose = low <= levels.lower, high >= levels.upper
    stopped, taken = (fell, rose) if side > 0.0 else (rose, fell)
    if rules.best_first > 0.0:
        stopped = stopped and how == AT_LIMIT and not taken
    else:
        taken = taken and how == AT_BREAK and not stopped
    if stopped:
        price = min(levels.stop * side, entry * side) * side
        close_position(t, market_price(-quantity, price, rules), levels.reason, books, rules)
    elif taken:
        close_position(t, max(levels.take * side, entry * side) * side, TAKE, books, rules)
