"""Take-profits as a ladder: each rung takes its share of a position, once a trade.

A rung is a limit order. `climb` fills the rungs a bar reaches; what is left of the position is under the other levels.
"""

from __future__ import annotations

import math

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.compiled.tolerance import TOLERANCE, exceeds
from engine.simulator.account import Rules
from engine.simulator.exits import Levels, exit_levels
from engine.simulator.moving import AT_LIMIT, AT_OPEN, N_MOVING, entered_at, moved, n_rungs
from engine.simulator.orders import QUANTITY, RUNGS, TAKE, TAKEN, Books, close_position, fill, on_tick, whole_lots

SHARE_TOLERANCE = 1e-9  # of the position: 1 - 0.9 is 0.09999999999999998


@inner
def climb(
    t: int,
    open_: float,
    low: float,
    high: float,
    entered: float,
    broken: float,
    margin: float,
    moving: Array,
    books: Books,
    rules: Rules,
) -> None:
    """Fill the rungs that bar t reaches before its stop: at the open first, then as the rule `intrabar` has it.

    entered, broken: how the position was opened in this bar and the price of its stop order, as for `leave_entered`.
    margin: as for `exit_levels`.
    """
    state = books.state
    long = state[QUANTITY] > 0.0
    worst, best = (low, high) if long else (high, low)
    levels = moved(exit_levels(state, margin, rules), t, moving, state, rules)
    start = open_
    if entered > AT_OPEN:
        start = entered_at(entered, broken, state, rules)
    elif is_stopped(open_, long, levels):
        return
    else:
        take_rungs(t, open_, open_, levels.take, moving, books, rules)
        if state[QUANTITY] == 0.0:
            return
        levels = moved(exit_levels(state, margin, rules), t, moving, state, rules)
    if rules.best_first > 0.0 or (entered != AT_LIMIT and not is_stopped(worst, long, levels)):
        take_rungs(t, best, start, levels.take, moving, books, rules)


@inner
def is_stopped(price: float, long: bool, levels: Levels) -> bool:
    """Whether the price is at or beyond the stop."""
    return price <= levels.lower if long else price >= levels.upper


@inner
def take_rungs(t: int, reached: float, start: float, take: float, moving: Array, books: Books, rules: Rules) -> None:
    """Fill the rungs at or before the price `reached`, the nearest first, none at a worse price than `start`.

    take: the price at which all is sold, beyond which there is no rung.
    """
    state = books.state
    side = 1.0 if state[QUANTITY] > 0.0 else -1.0
    while state[QUANTITY] != 0.0:
        nearest, at = -1, math.inf
        for k in range(n_rungs(moving)):
            level = on_tick(moving[N_MOVING + 2 * k, t - 1], side, rules)
            waits = (int(state[RUNGS]) >> k) % 2 == 0
            touched = side * (reached - level) >= -TOLERANCE * level and not exceeds(level * side, take * side, level)
            if waits and touched and level * side < at:
                nearest, at = k, level * side
        if nearest < 0:
            return
        state[RUNGS] += 2.0**nearest
        paid = on_tick(max(at, start * side) * side, -side, rules)
        take_share(t, moving[N_MOVING + 2 * nearest + 1, t - 1], paid, books, rules)


@inner
def take_share(t: int, share: float, paid: float, books: Books, rules: Rules) -> None:
    """Sell a share of the position as it would be without the rungs taken so far; too small an order is not sent."""
    state = books.state
    quantity, left = state[QUANTITY], 1.0 - state[TAKEN]
    state[TAKEN] += share
    if share >= left - SHARE_TOLERANCE:
        close_position(t, paid, TAKE, books, rules)
        return
    size = whole_lots(abs(quantity) * share / left, rules)
    if size > 0.0 and not exceeds(rules.min_notional, size * paid, rules.min_notional):
        fill(-size if quantity > 0.0 else size, t, paid, TAKE, books, rules)
