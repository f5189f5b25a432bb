"""The loop over bars of several instruments with shared cash: one target weight per instrument and bar."""

from __future__ import annotations

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, kernel
from engine.compiled.tolerance import reaches
from engine.data.calendar import BAR, OVER
from engine.simulator.exits import charge, forgive_debt, pay_out, receive
from engine.simulator.fills import Tables
from engine.simulator.inside import pass_through
from engine.simulator.moving import AT_OPEN, STOP_AT, TRAIL_BY
from engine.simulator.orders import (
    CASH,
    DELISTED,
    DRAWDOWN,
    FINANCING,
    GROW,
    HELD,
    MARGIN,
    N_FILLS,
    N_STATE,
    N_TRADE,
    N_TRADES,
    OPEN,
    QUANTITY,
    RUIN,
    SHRINK,
    TOTAL_FEES,
    TRADED,
    WHICH,
    Books,
    Moment,
    close_position,
    follow,
    is_due,
    market_price,
    record_trade,
)
from engine.simulator.panel import Panel
from engine.simulator.rules import unpack_rules
from engine.simulator.simulate import Simulation


@kernel
def simulate_portfolio(
    panel: Panel, targets: Array, moving: Array, scales: Array, packed: Array, fills: Array
) -> Simulation:
    """Trade target weights of shape (k, n_bars), each in [-1, 1], out of one account.

    moving: the levels of each, (k, rows, n_bars) with rows as in engine.simulator.moving but without entry orders;
    (k, 0, 0): none. scales: exposure per unit of target, (k, n_bars), or (k, 0) for 1. One instrument alone fares as in
    `simulate_levels`, except that its margin call is judged at the close. packed: from pack_each of
    engine.simulator.rules, (k, n_rules). fills: as in simulate_levels.
    """
    rules = unpack_rules(packed[0])
    k, n = targets.shape
    equity = np.empty(n)
    states = np.zeros((k, N_STATE))
    room = k
    for i in range(k):
        states[i, WHICH] = i
        states[i, CASH] = rules.initial_cash
        for t in range(1, n):
            room += targets[i, t] != targets[i, t - 1]
    tables = Tables(np.empty((room, N_TRADE)), fills)
    played = play(panel, targets, moving, scales, packed, equity, states, tables)
    for t in range(played, n):
        equity[t] = states[0, CASH]
    fees, traded, financing = 0.0, 0.0, 0.0
    for i in range(k):
        if states[i, QUANTITY] != 0.0:
            record_trade(n - 1, OPEN, states[i, QUANTITY] * panel.close[i, n - 1], Books(states[i], tables))
            share(i, states)
        fees += states[i, TOTAL_FEES]
        traded += states[i, TRADED]
        financing += states[i, FINANCING]
    n_trades, n_fills = int(states[0, N_TRADES]), int(states[0, N_FILLS])
    return Simulation(equity, tables.trades[:n_trades], k, fees, traded, financing, fills[:n_fills])


@inner
def share(i: int, states: Array) -> None:
    """Tell every instrument's books the cash and how much is written down after instrument i has traded."""
    for j in range(len(states)):
        states[j, CASH] = states[i, CASH]
        states[j, N_TRADES] = states[i, N_TRADES]
        states[j, N_FILLS] = states[i, N_FILLS]


@inner
def play(
    panel: Panel,
    targets: Array,
    moving: Array,
    scales: Array,
    packed: Array,
    equity: Array,
    states: Array,
    tables: Tables,
) -> int:
    """Fill `equity` bar by bar; returns the number of bars until trading ended for good."""
    rules = unpack_rules(packed[0])  # what is the whole account's
    k, n = len(targets), len(equity)
    on_close = rules.on_close > 0.0
    floor = rules.initial_cash * (1.0 - rules.max_drawdown) if rules.max_drawdown > 0.0 else 0.0
    called = False
    guarded = rules.stop > 0.0 or rules.take_profit > 0.0 or rules.trail > 0.0 or moving.shape[2] > 0
    for t in range(n):
        if panel.income.shape[1] > 0:
            earn(t, panel, states, tables)
        if not on_close:
            settle(t, panel, states, tables)
            if called:
                close_all(t, MARGIN, panel.open, panel, packed, states, tables)
                called = False
            if t > 0:
                send_orders(t, t - 1, panel.open, panel, targets, moving, scales, packed, states, tables)
        for i in range(k if guarded else 0):
            if states[i, QUANTITY] != 0.0 and has_bar(i, t, panel):
                guard(i, t, panel, moving, packed, Books(states[i], tables))
                share(i, states)
        hold(t, panel, packed, states, tables)
        if on_close:
            settle(t, panel, states, tables)
            send_orders(t, t, panel.close, panel, targets, moving, scales, packed, states, tables)
        net, gross = values(t, panel.close, states)
        equity[t] = states[0, CASH] + net
        if reaches(floor, equity[t], floor):
            return end(t, panel, equity[t] <= 0.0, packed, states, tables)
        if rules.max_drawdown > 0.0:
            floor = max(floor, equity[t] * (1.0 - rules.max_drawdown))
        if gross > 0.0 and reaches(rules.margin * gross, equity[t], gross):
            called = True
            if on_close:
                close_all(t, MARGIN, panel.close, panel, packed, states, tables)
                equity[t] = states[0, CASH] + values(t, panel.close, states)[0]
                called = False
    return n


@inner
def has_bar(i: int, t: int, panel: Panel) -> bool:
    """Whether instrument i can be traded in bar t."""
    return bool(panel.traded.shape[1] == 0 or panel.traded[i, t] == BAR)


@inner
def earn(t: int, panel: Panel, states: Array, tables: Tables) -> None:
    """What was held into bar t is paid what it brings."""
    for i in range(len(states)):
        if states[i, QUANTITY] != 0.0 and panel.income[i, t] != 0.0:
            receive(panel.income[i, t], panel.open[i, t], Books(states[i], tables))
            share(i, states)


@inner
def settle(t: int, panel: Panel, states: Array, tables: Tables) -> None:
    """What is delisted is paid out at its last close."""
    if panel.traded.shape[1] > 0:
        for i in range(len(states)):
            if states[i, QUANTITY] != 0.0 and panel.traded[i, t] == OVER:
                pay_out(t, panel.close[i, t], DELISTED, Books(states[i], tables))
                share(i, states)


@inner
def values(t: int, prices: Array, states: Array) -> tuple[float, float]:
    """Net and gross value of all positions at prices[:, t]."""
    net, gross = 0.0, 0.0
    for i in range(len(states)):
        if states[i, QUANTITY] != 0.0:  # what is not listed yet has no price
            value = states[i, QUANTITY] * prices[i, t]
            net += value
            gross += abs(value)
    return net, gross


@inner
def send_orders(
    t: int,
    known: int,
    prices: Array,
    panel: Panel,
    targets: Array,
    moving: Array,
    scales: Array,
    packed: Array,
    states: Array,
    tables: Tables,
) -> None:
    """Act in bar t at prices[:, t] upon the targets of bar `known`: first the orders that free cash."""
    shared = unpack_rules(packed[0])
    for phase in (SHRINK, GROW):
        net, gross = values(t, prices, states)
        for i in range(len(states)):
            target = targets[i, known]
            if (target == states[i, HELD] and not is_due(t, states[i], shared)) or not has_bar(i, t, panel):
                continue
            rules = unpack_rules(packed[i])
            own = states[i, QUANTITY] * prices[i, t]
            scale = scales[i, known] if scales.shape[1] > 0 else 1.0
            stop, trail = np.nan, np.nan
            if moving.shape[2] > 0:
                stop, trail = moving[i, STOP_AT, known], moving[i, TRAIL_BY, known]
            at = Moment(t, prices[i, t], panel.volume[i, t], scale, net - own, gross - abs(own), stop, trail)
            follow(target, at, phase, Books(states[i], tables), rules)
            share(i, states)
            value = states[i, QUANTITY] * prices[i, t]
            net, gross = net - own + value, gross - abs(own) + abs(value)


@inner
def guard(i: int, t: int, panel: Panel, moving: Array, packed: Array, books: Books) -> None:
    """Exits of one instrument inside bar t; the margin call is the whole account's, and judged at the close."""
    rules = unpack_rules(packed[i])
    open_, high, low = panel.open[i, t], panel.high[i, t], panel.low[i, t]
    pass_through(t, open_, high, low, AT_OPEN, np.nan, 0.0, moving[i], books, rules)


@inner
def hold(t: int, panel: Panel, packed: Array, states: Array, tables: Tables) -> None:
    """Costs of holding; borrowed cash is shared out in proportion to the values of the long positions."""
    rules = unpack_rules(packed[0])
    if rules.borrow == 0.0 and rules.funding == 0.0:
        return
    net, gross = values(t, panel.close, states)
    long_value = (net + gross) / 2.0
    cash = states[0, CASH]
    debt = max(-cash, 0.0)
    for i in range(len(states)):
        if states[i, QUANTITY] != 0.0:
            close = panel.close[i, t]
            value = states[i, QUANTITY] * close
            states[i, CASH] = cash
            charge(close, debt * value / long_value if value > 0.0 else 0.0, Books(states[i], tables), rules)
            cash = states[i, CASH]
    for i in range(len(states)):
        states[i, CASH] = cash


@inner
def close_all(t: int, reason: float, prices: Array, panel: Panel, packed: Array, states: Array, tables: Tables) -> None:
    """Close every position at the market price of bar t; one without a bar stays, or, for good, is paid out."""
    for i in range(len(states)):
        quantity = states[i, QUANTITY]
        if quantity == 0.0:
            continue
        if has_bar(i, t, panel):
            rules = unpack_rules(packed[i])
            close_position(t, market_price(-quantity, prices[i, t], rules), reason, Books(states[i], tables), rules)
        elif reason == DRAWDOWN:
            pay_out(t, panel.close[i, t], reason, Books(states[i], tables))
        share(i, states)


@inner
def end(t: int, panel: Panel, ruined: bool, packed: Array, states: Array, tables: Tables) -> int:
    """Ruin, or the end by max_drawdown_stop, at the close of bar t; returns the bars played."""
    n, on_close = len(panel.timestamp), unpack_rules(packed[0]).on_close > 0.0
    _, gross = values(t, panel.close, states)
    if ruined:
        for i in range(len(states)):
            pay_out(t, panel.close[i, t], RUIN, Books(states[i], tables))
            share(i, states)
    elif gross > 0.0:
        if not on_close:
            t += 1
        if t == n:
            return n
        close_all(t, DRAWDOWN, panel.close if on_close else panel.open, panel, packed, states, tables)
    forgive_debt(Books(states[0], tables))
    share(0, states)
    return t
