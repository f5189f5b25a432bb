"""What ends a position inside a bar, what holding it costs, and ruin."""

from __future__ import annotations

import math

from engine.account import Rules
from engine.arrays import Array
from engine.jit import inner
from engine.orders import (
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
    RUIN,
    STOP,
    TAKE,
    TRAIL,
    Books,
    close_position,
    market_price,
    record_trade,
)


@inner
def exit_levels(state: Array, margin: float, rules: Rules) -> tuple[float, float, float]:
    """The prices at or beyond which the position is closed, and why at the stop: (lower, upper, stop reason).

    margin: the maintenance margin, 0 where it is judged elsewhere.
    Off is 0 below and infinity above. For a long position the stop is the lower level, for a short one the upper.
    """
    quantity = state[QUANTITY]
    if quantity == 0.0:
        return 0.0, math.inf, STOP
    entry = state[ENTRY_VALUE] / abs(state[ENTRY_QUANTITY])
    side = 1.0 if quantity > 0.0 else -1.0
    stop, reason = (0.0, STOP) if side > 0.0 else (math.inf, STOP)
    if rules.stop > 0.0:
        stop = entry * (1.0 - side * rules.stop)
    if rules.trail > 0.0:
        level = state[EXTREME] * (1.0 - side * rules.trail)
        if (level - stop) * side > 0.0:
            stop, reason = level, TRAIL
    if margin > 0.0:
        level = -state[CASH] / (quantity * (1.0 - side * margin))
        if (level - stop) * side > 0.0:
            stop, reason = level, MARGIN
    if side > 0.0:
        return stop, entry * (1.0 + rules.take_profit) if rules.take_profit > 0.0 else math.inf, reason
    return entry * (1.0 - rules.take_profit) if rules.take_profit > 0.0 else 0.0, stop, reason


@inner
def leave(t: int, open_: float, worst: float, levels: tuple[float, float, float], books: Books, rules: Rules) -> None:
    """Close a position whose bar reached one of its levels: gaps at the open, the stop before the take-profit.

    worst: the low of the bar for a long position, the high for a short one. levels: see exit_levels.
    A stop is a market order; a take-profit is a limit order and pays neither slippage nor spread.
    """
    quantity = books.state[QUANTITY]
    long = quantity > 0.0
    lower, upper, reason = levels
    stop, take = (lower, upper) if long else (upper, lower)
    if (open_ <= stop) if long else (open_ >= stop):
        close_position(t, market_price(-quantity, open_, rules), reason, books, rules)
    elif (open_ >= take) if long else (open_ <= take):
        close_position(t, open_, TAKE, books, rules)
    elif (worst <= stop) if long else (worst >= stop):
        close_position(t, market_price(-quantity, stop, rules), reason, books, rules)
    else:
        close_position(t, take, TAKE, books, rules)


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
def track_extreme(high: float, low: float, state: Array) -> None:
    """Note the best price seen since the entry; the trailing stop of the next bar hangs on it."""
    if state[QUANTITY] > 0.0:
        state[EXTREME] = max(state[EXTREME], high)
    else:
        state[EXTREME] = min(state[EXTREME], low)


@inner
def write_off(t: int, close: float, books: Books) -> None:
    """Ruin: the broker takes the position at the close, and bears what is missing."""
    quantity = books.state[QUANTITY]
    if quantity != 0.0:
        books.state[CASH] += quantity * close
        record_trade(t, RUIN, quantity * close, books)


@inner
def forgive_debt(books: Books) -> None:
    """An account ends at zero, never below: the last trade loses no more than there was."""
    if books.state[CASH] < 0.0:
        books.trades[int(books.state[N_TRADES]) - 1, PNL] -= books.state[CASH]
        books.state[CASH] = 0.0
