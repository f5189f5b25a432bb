"""Orders: how much is traded, at what price and for what fee. docs/engine.md states each rule in words."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.compiled.tolerance import exceeds
from engine.simulator.account import Rules
from engine.simulator.fills import Tables, write_fill

# The state of a position lives in one small float array with named slots: numba compiles that several times faster than
# a record or a tuple, and counts one reference for it. First the account, then what is held and the sums of the round
# trip (flat to flat) it belongs to.
CASH, TOTAL_FEES, TRADED, FINANCING, N_TRADES, N_FILLS = range(6)
WHICH, HELD, WORKING, QUANTITY, SINCE, EXTREME, FLOW, FEES, ENTRY_QUANTITY, ENTRY_VALUE, EXIT_VALUE, TAKEN, RUNGS = (
    range(6, 19)
)
N_STATE = 19
SHRINK, GROW, BOTH = 0.0, 1.0, 2.0
# A row of the table of trades, TRADE_COLUMNS of engine.simulator.columns.
INSTRUMENT, ENTRY_BAR, EXIT_BAR, ENTRY_PRICE, EXIT_PRICE, SIZE, PNL, TRADE_FEES, EXIT_REASON = range(9)
N_TRADE = 9
# The reasons, EXIT_REASONS and FILL_REASONS there: floats, because numba compiles a kernel anew for every integer
# constant it is called with.
SIGNAL, STOP, TAKE, TRAIL, TIME, MARGIN, DRAWDOWN, RUIN, OPEN, DELISTED, REBALANCE = map(float, range(11))


class Books(NamedTuple):
    """The state an order changes."""

    state: Array  # (N_STATE,)
    tables: Tables


class Moment(NamedTuple):
    """When and where an order is filled."""

    t: int
    price: float
    volume: float  # of the bar
    scale: float  # exposure per unit of target, from the volatility
    others: float  # net value of the other positions
    gross_others: float  # their gross value
    stop: float  # the strategy's own stop, a price; NaN for none
    trail: float  # likewise, a distance from the best price


LOT_TOLERANCE = 1e-9  # of a lot: 0.3 / 0.1 is 2.9999999999999996
TICK_TOLERANCE = 1e-6  # of a tick: there may be ten million of them in a price


@inner
def fee_of(value: float, quantity: float, rules: Rules) -> float:
    """The fee of a fill of this value and quantity."""
    return max(rules.min_fee, rules.fixed_fee + rules.fee * value + rules.unit_fee * quantity)


@inner
def affordable(budget: float, paid: float, rules: Rules) -> float:
    """The quantity that costs `budget` at the fill price `paid`, its fee included."""
    quantity = (budget - rules.fixed_fee) / (paid * (1.0 + rules.fee) + rules.unit_fee)
    if rules.fixed_fee + rules.fee * quantity * paid + rules.unit_fee * quantity < rules.min_fee:
        quantity = (budget - rules.min_fee) / paid
    return max(quantity, 0.0)


@inner
def wanted_quantity(target: float, paid: float, equity: float, left: float, at: Moment, rules: Rules) -> float:
    """The quantity (not negative) that is asked for at the fill price `paid`; left: the share a ladder leaves."""
    room = max(rules.leverage * equity - at.gross_others, 0.0)
    weight = abs(target)
    if rules.risk > 0.0:
        loss = loss_at_stop(target, paid, at, rules)
        quantity = (
            min(weight * rules.risk * max(equity, 0.0) / loss, affordable(room, paid, rules)) if loss > 0.0 else 0.0
        )
    else:
        budget = weight * equity * at.scale
        if rules.fraction > 0.0:
            budget = weight * equity * rules.fraction
        elif rules.cash > 0.0:
            budget = weight * rules.cash
        quantity = affordable(min(budget, room), paid, rules)
    return whole_lots(quantity * left, rules)


@inner
def loss_at_stop(target: float, paid: float, at: Moment, rules: Rules) -> float:
    """What one unit bought or sold short at `paid` loses when it is stopped out, proportional costs included.

    0 without a stop, below 0 where it is passed already.
    """
    side = 1.0 if target > 0.0 else -1.0
    level = -math.inf * side
    if rules.stop > 0.0:
        level = paid * (1.0 - side * rules.stop)
    if rules.trail > 0.0 and paid * (1.0 - side * rules.trail) * side > level * side:
        level = paid * (1.0 - side * rules.trail)
    for own in (at.stop, paid - side * at.trail):
        if own * side > level * side:
            level = own
    if math.isinf(level):
        return 0.0
    left = market_price(-side, on_tick(level, -side, rules), rules)
    if side > 0.0:
        return paid * (1.0 + rules.fee) - left * (1.0 - rules.fee) + 2.0 * rules.unit_fee
    return left * (1.0 + rules.fee) - paid * (1.0 - rules.fee) + 2.0 * rules.unit_fee


@inner
def whole_lots(quantity: float, rules: Rules) -> float:
    """Round down to a multiple of the lot size."""
    if rules.lot == 0.0:
        return quantity
    return math.floor(quantity / rules.lot + LOT_TOLERANCE) * rules.lot


@inner
def is_due(t: int, state: Array, rules: Rules) -> bool:
    """Whether an order may be needed although the target has not changed."""
    if state[WORKING] > 0.0:
        return True
    held_long = rules.max_bars > 0.0 and t - state[SINCE] >= rules.max_bars
    return state[QUANTITY] != 0.0 and (rules.band > 0.0 or held_long)


@inner
def follow(target: float, at: Moment, phase: float, books: Books, rules: Rules) -> None:
    """Bring a position to its target. phase: SHRINK sends only orders that free cash, GROW the others, BOTH any.

    A target of 0 or of the other sign closes the position; the other side is opened with what is left.
    """
    state = books.state
    quantity = state[QUANTITY]
    if quantity * target > 0.0 and rules.max_bars > 0.0 and at.t - state[SINCE] >= rules.max_bars:
        state[HELD] = target
        close_position(at.t, market_price(-quantity, at.price, rules), TIME, books, rules)
        return
    if quantity != 0.0 and quantity * target <= 0.0:
        if phase == GROW:
            return
        state[HELD] = target
        send(-quantity, at, SIGNAL, books, rules)
        if target != 0.0:
            state[WORKING] = 1.0 + SIGNAL
    if target == 0.0:
        state[HELD] = 0.0
    elif state[QUANTITY] * target >= 0.0:
        resize(target, at, phase, books, rules)


@inner
def resize(target: float, at: Moment, phase: float, books: Books, rules: Rules) -> None:
    """Bring a position that is flat, or already on the target's side, to the target's size."""
    state = books.state
    quantity = state[QUANTITY]
    side = 1.0 if target > 0.0 else -1.0
    equity = books.state[CASH] + at.others + quantity * at.price
    left = 1.0 - state[TAKEN]
    wanted = wanted_quantity(target, market_price(side, at.price, rules), equity, left, at, rules)
    shrinks = wanted < abs(quantity)
    if phase != BOTH and shrinks != (phase == SHRINK):
        return
    if shrinks:
        wanted = wanted_quantity(target, market_price(-side, at.price, rules), equity, left, at, rules)
        wanted = min(wanted, abs(quantity))
    again = quantity != 0.0 and target == state[HELD] and state[WORKING] != 1.0 + SIGNAL
    state[HELD] = target
    state[WORKING] = 0.0
    change = side * wanted - quantity
    least = rules.band * equity if quantity != 0.0 else 0.0
    if exceeds(abs(change) * at.price, least, equity):  # not what rounding leaves of an account that is all invested
        send(change, at, REBALANCE if again else SIGNAL, books, rules)


@inner
def market_price(change: float, price: float, rules: Rules) -> float:
    """What a market order pays (change > 0) or gets, slippage and half the spread inside."""
    paid = price * (1.0 + rules.slip) if change > 0.0 else price * (1.0 - rules.slip)
    return paid if rules.tick == 0.0 else max(on_tick(paid, change, rules), rules.tick)


@inner
def on_tick(price: float, way: float, rules: Rules) -> float:
    """The multiple of the tick at the price, or else the next one above (way > 0) or below (way < 0)."""
    if rules.tick == 0.0:
        return price
    ticks = price / rules.tick
    return float(np.ceil(ticks - TICK_TOLERANCE) if way > 0.0 else np.floor(ticks + TICK_TOLERANCE)) * rules.tick


@inner
def send(change: float, at: Moment, reason: float, books: Books, rules: Rules) -> None:
    """Fill a market order as far as the volume allows; what is left is sent again, sized anew, at the next bar.

    WORKING is 0 without such an order, else 1 + its reason.
    """
    state = books.state
    state[WORKING] = 0.0
    size = abs(change)
    quantity = state[QUANTITY]
    paid = market_price(change, at.price, rules)
    if change != -quantity and exceeds(rules.min_notional, size * paid, rules.min_notional):
        return
    if rules.volume_share > 0.0 and exceeds(size, rules.volume_share * at.volume, size):
        state[WORKING] = 1.0 + reason
        size = whole_lots(rules.volume_share * at.volume, rules)
    if size > 0.0:
        closes = size == abs(quantity) and change * quantity < 0.0  # and has the reason of the trade that ends
        fill(size if change > 0.0 else -size, at.t, paid, SIGNAL if closes else reason, books, rules)
        if state[QUANTITY] == 0.0:
            record_trade(at.t, SIGNAL, 0.0, books)


@inner
def fill(change: float, t: int, paid: float, reason: float, books: Books, rules: Rules) -> None:
    """Buy (change > 0) or sell at the price `paid`: the only place where goods are paid for."""
    state = books.state
    value = abs(change) * paid
    fee = fee_of(value, abs(change), rules)
    flow = -change * paid - fee
    quantity = state[QUANTITY]
    if quantity == 0.0:
        state[SINCE] = t
        state[EXTREME] = paid
    if quantity * change >= 0.0:
        state[ENTRY_QUANTITY] += change
        state[ENTRY_VALUE] += value
    else:
        state[EXIT_VALUE] += value
    state[QUANTITY] = quantity + change
    state[FLOW] += flow
    state[FEES] += fee
    state[CASH] += flow
    state[TOTAL_FEES] += fee
    state[TRADED] += value
    note_fill(t, change, paid, fee, reason, books)


@inner
def note_fill(t: int, change: float, paid: float, fee: float, reason: float, books: Books) -> None:
    """Write a fill down where the table of fills has room; the position is the one after it."""
    state, fills = books.state, books.tables.fills
    row = int(state[N_FILLS])
    if row < len(fills):
        write_fill(row, state[WHICH], t, change, paid, fee, reason, state[QUANTITY], fills)
        state[N_FILLS] += 1.0


@inner
def close_position(t: int, paid: float, reason: float, books: Books, rules: Rules) -> None:
    """Trade the whole position away at the price `paid` and write down the round trip."""
    fill(-books.state[QUANTITY], t, paid, reason, books, rules)
    record_trade(t, reason, 0.0, books)


@inner
def record_trade(t: int, reason: float, open_value: float, books: Books) -> None:
    """Write down the round trip that ends at bar t and reset the position; open_value marks one still open.

    The target stays noted as held: no way back in until it changes.
    """
    state, trades = books.state, books.tables.trades
    row = int(state[N_TRADES])
    state[N_TRADES] += 1.0
    size = state[ENTRY_QUANTITY]
    trades[row, INSTRUMENT] = state[WHICH]
    trades[row, ENTRY_BAR] = state[SINCE]
    trades[row, EXIT_BAR] = t
    trades[row, ENTRY_PRICE] = state[ENTRY_VALUE] / abs(size)
    trades[row, EXIT_PRICE] = (state[EXIT_VALUE] + abs(open_value)) / abs(size)
    trades[row, SIZE] = size
    trades[row, PNL] = state[FLOW] + open_value
    trades[row, TRADE_FEES] = state[FEES]
    trades[row, EXIT_REASON] = reason
    state[WORKING] = 0.0
    for slot in range(QUANTITY, N_STATE):
        state[slot] = 0.0
