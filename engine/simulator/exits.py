"""What ends a position inside a bar, what holding it costs, and ruin."""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.compiled.tolerance import TOLERANCE, exceeds
from engine.simulator.account import Rules
from engine.simulator.orders import (
    CASH,
    ENTRY_QUANTITY,
    ENTRY_VALUE,
    EXTREME,
    FINANCING,
    FLOW,
    MARGIN,
    N_TRADES,
    PNL,
    QUANTITY,
    STOP,
    TAKE,
    TRAIL,
    Books,
    close_position,
    market_price,
    note_fill,
    on_tick,
    record_trade,
)


class Levels(NamedTuple):
    """Where a position is closed inside a bar. Off is 0 below and infinity above.

    A low at or below `lower`, or a high at or above `upper`, touches a level: these two are the levels widened by the
    tolerance, so that 110 touches 100 * 1.1, which is 110.00000000000001 as a float.
    """

    lower: float
    upper: float
    stop: float  # the levels themselves, where the fills are
    take: float
    reason: float  # why at the stop


@inner
def exit_levels(state: Array, margin: float, rules: Rules) -> Levels:
    """The levels of the position that is held. margin: the maintenance margin, 0 where it is judged elsewhere.

    For a long position the stop is the lower level, for a short one the upper. Each is on a tick, never nearer for it.
    """
    quantity = state[QUANTITY]
    if quantity == 0.0:
        return Levels(0.0, math.inf, 0.0, math.inf, STOP)
    entry = state[ENTRY_VALUE] / abs(state[ENTRY_QUANTITY])
    side = 1.0 if quantity > 0.0 else -1.0
    stop, reason = (0.0, STOP) if side > 0.0 else (math.inf, STOP)
    take = math.inf if side > 0.0 else 0.0
    if rules.stop > 0.0:
        stop = on_tick(entry * (1.0 - side * rules.stop), -side, rules)
    if rules.trail > 0.0:
        level = on_tick(state[EXTREME] * (1.0 - side * rules.trail), -side, rules)
        if exceeds(level * side, stop * side, level):
            stop, reason = level, TRAIL
    if margin > 0.0:
        level = on_tick(-state[CASH] / (quantity * (1.0 - side * margin)), -side, rules)
        if exceeds(level * side, stop * side, level):
            stop, reason = level, MARGIN
    if rules.take_profit > 0.0:
        take = on_tick(entry * (1.0 + side * rules.take_profit), side, rules)
    lower, upper = (stop, take) if side > 0.0 else (take, stop)
    return Levels(lower * (1.0 + TOLERANCE), upper * (1.0 - TOLERANCE), stop, take, reason)


@inner
def leave(t: int, open_: float, low: float, high: float, levels: Levels, books: Books, rules: Rules) -> None:
    """Close a position whose bar touched one of its levels: gaps at the open, then by the rule `intrabar`.

    A stop is a market order; a take-profit is a limit order and pays neither slippage nor spread.
    """
    quantity = books.state[QUANTITY]
    long = quantity > 0.0
    fell, rose = low <= levels.lower, high >= levels.upper
    stopped, taken = (fell, rose) if long else (rose, fell)
    if (open_ <= levels.lower) if long else (open_ >= levels.upper):
        close_position(t, market_price(-quantity, open_, rules), levels.reason, books, rules)
    elif (open_ >= levels.upper) if long else (open_ <= levels.lower):
        close_position(t, on_tick(open_, -quantity, rules), TAKE, books, rules)
    elif stopped and not (taken and rules.best_first > 0.0):
        close_position(t, market_price(-quantity, levels.stop, rules), levels.reason, books, rules)
    else:
        close_position(t, levels.take, TAKE, books, rules)


@inner
def charge(close: float, debt: float, books: Books, rules: Rules) -> None:
    """Borrowing and funding for one bar; debt: the borrowed cash that this position bears the interest of."""
    quantity = books.state[QUANTITY]
    borrowed = max(-quantity * close, 0.0) + debt
    cost = rules.borrow * borrowed + rules.funding * quantity * close
    books.state[FLOW] -= cost
    books.state[CASH] -= cost
    books.state[FINANCING] += cost


@inner
def receive(share: float, open_: float, books: Books) -> None:
    """What the position held into a bar is paid at its open: a share of its value, from engine.data.income."""
    paid = books.state[QUANTITY] * open_ * share
    books.state[FLOW] += paid
    books.state[CASH] += paid
    books.state[FINANCING] -= paid


@inner
def track_extreme(high: float, low: float, state: Array) -> None:
    """Note the best price seen since the entry; the trailing stop of the next bar hangs on it."""
    if state[QUANTITY] > 0.0:
        state[EXTREME] = max(state[EXTREME], high)
    else:
        state[EXTREME] = min(state[EXTREME], low)


@inner
def pay_out(t: int, close: float, reason: float, books: Books) -> None:
    """The position is taken away at this price without costs: ruin, a delisting, the end of trading in a gap."""
    quantity = books.state[QUANTITY]
    if quantity != 0.0:
        books.state[CASH] += quantity * close
        books.state[QUANTITY] = 0.0
        note_fill(t, -quantity, close, 0.0, reason, books)
        record_trade(t, reason, quantity * close, books)


@inner
def forgive_debt(books: Books) -> None:
    """An account ends at zero, never below: the last trade loses no more than there was."""
    if books.state[CASH] < 0.0:
        books.tables.trades[int(books.state[N_TRADES]) - 1, PNL] -= books.state[CASH]
        books.state[CASH] = 0.0
