"""The loop over bars of one instrument: target exposure and account rules -> equity, trades and totals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, kernel
from engine.compiled.tolerance import reaches
from engine.data.bars import Bars
from engine.simulator.account import Rules
from engine.simulator.exits import Levels, charge, exit_levels, forgive_debt, leave, pay_out, receive
from engine.simulator.fills import Tables, no_fills
from engine.simulator.moving import (
    STOP_AT,
    TRAIL_BY,
    has_entry,
)
from engine.simulator.orders import (
    BOTH,
    CASH,
    DRAWDOWN,
    FINANCING,
    HELD,
    N_FILLS,
    N_STATE,
    N_TRADE,
    N_TRADES,
    OPEN,
    QUANTITY,
    RUIN,
    STOP,
    TOTAL_FEES,
    TRADED,
    Books,
    Moment,
    close_position,
    follow,
    is_due,
    market_price,
    record_trade,
)
from engine.simulator.pieces import by_pieces, go_through
from engine.simulator.rules import unpack_rules
from engine.simulator.wishes import Wishes, wishes_of

STRIDE = 8  # bars marked at once: a loop whose length varies less is mispredicted less


class Simulation(NamedTuple):
    """What a simulation leaves behind."""

    equity: Array  # (n_bars,), marked at the close of every bar
    trades: Array  # (n_trades, N_TRADE), TRADE_COLUMNS, sizes in units; one still held comes last, exit_reason OPEN
    n_instruments: int
    fees: float
    traded: float  # sum of the values of all fills
    financing: float  # borrowing and funding paid, less dividends received
    fills: Array  # (n_fills, N_FILL), FILL_COLUMNS, sizes in units; none where there was no room for them


def simulate(bars: Bars, target: Array, scale: Array, packed: Array) -> Simulation:
    """Trade a target exposure of shape (n_bars,), each in [-1, 1].

    scale: exposure per unit of target, (n_bars,), or empty for 1. target[t] and scale[t] are known at the close of t.
    packed: the account's rules, from pack_rules. The equity is empty when a target is NaN or outside.
    """
    return simulate_levels(bars, target, np.empty((0, 0)), None, None, scale, packed, no_fills())


@kernel
def simulate_levels(
    bars: Bars,
    target: Array,
    moving: Array,
    detail: Array | None,
    income: Array | None,
    scale: Array,
    packed: Array,
    fills: Array,
) -> Simulation:
    """`simulate` with levels that move, rows as in engine.simulator.moving, n_bars columns; (0, 0): none.

    detail: the finer bars inside each bar, as engine.data.bars.detail_of has it. income: what a position held into each
    bar is paid, as engine.data.income.income_of has it.
    fills: from room_for_fills, filled; from no_fills where nobody asks for them.
    """
    return simulate_wishes(bars, wishes_of(target), moving, detail, income, scale, packed, fills)


@kernel
def simulate_wishes(
    bars: Bars,
    wishes: Wishes,
    moving: Array,
    detail: Array | None,
    income: Array | None,
    scale: Array,
    packed: Array,
    fills: Array,
) -> Simulation:
    """`simulate_levels` of a target whose turns are known."""
    rules = unpack_rules(packed)
    n = len(bars.close)
    equity = np.empty(n)
    if len(wishes.values) == 0:
        return Simulation(np.empty(0), np.empty((0, N_TRADE)), 1, 0.0, 0.0, 0.0, no_fills())
    tables = Tables(np.empty((len(wishes.values), N_TRADE)), fills)  # each trade begins with a turn of the target
    books = Books(np.zeros(N_STATE), tables)
    books.state[CASH] = rules.initial_cash
    if by_turns(rules, moving, detail, income):
        played = play_plain(bars, wishes, scale, rules, equity, books)
    else:
        played = play(bars, wishes.target, moving, detail, income, scale, rules, equity, books)
    for t in range(played, n):
        equity[t] = books.state[CASH]
    quantity = books.state[QUANTITY]
    if quantity != 0.0:
        record_trade(n - 1, OPEN, quantity * bars.close[n - 1], books)
    state = books.state
    return Simulation(
        equity,
        tables.trades[: int(state[N_TRADES])],
        1,
        state[TOTAL_FEES],
        state[TRADED],
        state[FINANCING],
        fills[: int(state[N_FILLS])],
    )


@inner
def by_turns(rules: Rules, moving: Array, detail: Array | None, income: Array | None) -> bool:
    """Whether the turns of a target say all that a simulation needs of it."""
    return is_plain(rules) and moving.shape[1] == 0 and detail is None and income is None


@inner
def is_plain(rules: Rules) -> bool:
    """True where nothing but a changed target, a fixed price level or ruin can happen: most trials of most studies."""
    watched = rules.band > 0.0 or rules.max_bars > 0.0 or rules.volume_share > 0.0 or rules.trail > 0.0
    charged = rules.borrow > 0.0 or rules.funding != 0.0
    return not (rules.on_close > 0.0 or watched or charged or rules.max_drawdown > 0.0)


@inner
def play_plain(bars: Bars, wishes: Wishes, scale: Array, rules: Rules, equity: Array, books: Books) -> int:
    """`play` for plain rules, several times as fast; a test holds the two equal.

    From one order to the next nothing happens but an exit: the bars between are marked in one go.
    """
    n = len(bars.close)
    state, turns, wished = books.state, wishes.turns, wishes.values
    guarded = rules.stop > 0.0 or rules.take_profit > 0.0 or rules.margin > 0.0
    t, wish, turn = 0, 0.0, 0
    while t < n:
        if wish != state[HELD]:
            size = scale[t - 1] if len(scale) > 0 else 1.0
            follow(wish, Moment(t, bars.open[t], bars.volume[t], size, 0.0, 0.0, np.nan, np.nan), BOTH, books, rules)
        while turns[turn] <= t:
            turn += 1
        kept = wished[turn] == state[HELD]
        after = min(turns[turn] + 1 if kept else t + 1, n)  # the bar of the next order
        stop = after
        levels = Levels(0.0, math.inf, 0.0, math.inf, STOP)
        if guarded and state[QUANTITY] != 0.0:
            levels = exit_levels(state, rules.margin, rules)
            stop = first_beyond(bars.low, bars.high, t, after, levels.lower, levels.upper)
        ruined = mark(bars.close, t, stop, state[CASH], state[QUANTITY], equity)
        if ruined >= 0:
            return end(ruined, bars, equity, books, rules)
        wish = state[HELD]
        if stop < after:
            leave(stop, bars.open[stop], bars.low[stop], bars.high[stop], levels, books, rules)
        else:
            wish = wished[min(turn + 1, len(wished) - 1) if kept else turn]
        t = stop
    return n


@inner
def first_beyond(low: Array, high: Array, start: int, stop: int, lower: float, upper: float) -> int:
    """The first bar of start <= t < stop that reaches one of the levels; `stop` when none does."""
    t = start
    while t < stop and low[t] > lower and high[t] < upper:
        t += 1
    return t


@inner
def mark(close: Array, start: int, stop: int, cash: float, quantity: float, equity: Array) -> int:
    """Fill equity[start:stop], and some bars more, which the next call fills anew; the first bar of ruin, or -1."""
    whole = min(start + (stop - start + STRIDE - 1) // STRIDE * STRIDE, len(close))
    prices, marked, n_ruined = close[start:whole], equity[start:whole], 0
    for i in range(len(prices)):
        value = cash + quantity * prices[i]
        marked[i] = value
        n_ruined += value <= 0.0
    if n_ruined == 0:
        return -1
    t = start
    while t < stop and equity[t] > 0.0:
        t += 1
    return t if t < stop else -1


@inner
def play(
    bars: Bars,
    target: Array,
    moving: Array,
    detail: Array | None,
    income: Array | None,
    scale: Array,
    rules: Rules,
    equity: Array,
    books: Books,
) -> int:
    """Fill `equity` bar by bar; returns the number of bars until trading ended for good."""
    open_, high, low, close, volume = bars.open, bars.high, bars.low, bars.close, bars.volume
    state = books.state
    on_close = rules.on_close > 0.0
    floor = rules.initial_cash * (1.0 - rules.max_drawdown) if rules.max_drawdown > 0.0 else 0.0
    wish, size, stop, trail = 0.0, 1.0, np.nan, np.nan
    watched = moving.shape[1] > 0
    for t in range(len(close)):
        if income is not None:
            receive(income[t], open_[t], books)
        waits = False
        if not on_close and (wish != state[HELD] or is_due(t, state, rules)):
            waits = watched and t > 0 and has_entry(wish, t, moving, state)
            if not waits:
                follow(wish, Moment(t, open_[t], volume[t], size, 0.0, 0.0, stop, trail), BOTH, books, rules)
        at = Moment(t, open_[t], volume[t], size, 0.0, 0.0, stop, trail)
        if detail is None:
            go_through(wish, waits, at, high[t], low[t], moving, books, rules)
        else:
            by_pieces(wish, waits, at, bars, detail, moving, books, rules)
        if state[QUANTITY] != 0.0:
            charge(close[t], max(-state[CASH], 0.0), books, rules)
        wish = target[t]
        size = scale[t] if len(scale) > 0 else 1.0
        if watched:
            stop, trail = moving[STOP_AT, t], moving[TRAIL_BY, t]
        if on_close and (wish != state[HELD] or is_due(t, state, rules)):
            follow(wish, Moment(t, close[t], volume[t], size, 0.0, 0.0, stop, trail), BOTH, books, rules)
        equity[t] = state[CASH] + state[QUANTITY] * close[t]
        if reaches(floor, equity[t], floor):
            return end(t, bars, equity, books, rules)
        if rules.max_drawdown > 0.0:
            floor = max(floor, equity[t] * (1.0 - rules.max_drawdown))
    return len(close)


@inner
def end(t: int, bars: Bars, equity: Array, books: Books, rules: Rules) -> int:
    """The account is ruined at the close of bar t, or has fallen by max_drawdown_stop; returns the bars played."""
    n = len(bars.close)
    if equity[t] <= 0.0:
        pay_out(t, bars.close[t], RUIN, books)
    elif books.state[QUANTITY] != 0.0:
        price = bars.close[t]
        if rules.on_close == 0.0:
            t += 1
            if t == n:
                return n
            price = bars.open[t]
        close_position(t, market_price(-books.state[QUANTITY], price, rules), DRAWDOWN, books, rules)
    forgive_debt(books)
    return t
