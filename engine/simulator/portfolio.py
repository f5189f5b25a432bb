"""The loop over bars of several instruments with shared cash: one target weight per instrument and bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import inner, kernel
from engine.compiled.tolerance import reaches
from engine.data.bars import Bars, freeze, take
from engine.errors import DataError
from engine.simulator.exits import charge, exit_levels, forgive_debt, leave, track_extreme, write_off
from engine.simulator.fills import Tables
from engine.simulator.orders import (
    CASH,
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
from engine.simulator.rules import unpack_rules
from engine.simulator.simulate import Simulation


class Panel(NamedTuple):
    """Bars of k instruments over the same timestamps; prices and volume of shape (k, n_bars)."""

    timestamp: Integers
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def make_panel(instruments: Sequence[Bars]) -> Panel:
    """Stack bars that have the same timestamps; DataError names the first that differ."""
    first = instruments[0].timestamp
    for i, bars in enumerate(instruments):
        if not np.array_equal(bars.timestamp, first):
            raise DataError(
                f"a portfolio needs the same timestamps in every instrument, but those of instrument {i} differ from "
                "those of the first; engine.simulator.portfolio.align keeps the common ones"
            )
    columns: list[Array] = [np.stack([getattr(bars, name) for bars in instruments]) for name in Panel._fields[1:]]
    return Panel(first, *columns)


def align(instruments: Sequence[Bars]) -> tuple[Bars, ...]:
    """Keep the bars whose timestamp every instrument has; DataError when fewer than two are left."""
    common = instruments[0].timestamp
    for bars in instruments[1:]:
        common = np.intersect1d(common, bars.timestamp, assume_unique=True)
    if len(common) < 2:
        raise DataError("the instruments share fewer than 2 timestamps")
    kept = []
    for bars in instruments:
        rows = np.isin(bars.timestamp, common, assume_unique=True)
        kept.append(freeze(take(bars, rows)))
    return tuple(kept)


@kernel
def simulate_portfolio(panel: Panel, targets: Array, scales: Array, packed: Array, fills: Array) -> Simulation:
    """Trade target weights of shape (k, n_bars), each in [-1, 1], out of one account.

    scales: exposure per unit of target, (k, n_bars), or (k, 0) for 1. One instrument alone fares as in `simulate`,
    except that its margin call is judged at the close. packed: from engine.simulator.rules.pack_each, (k, n_rules).
    fills: as in simulate_levels.
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
    played = play(panel, targets, scales, packed, equity, states, tables)
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
    panel: Panel, targets: Array, scales: Array, packed: Array, equity: Array, states: Array, tables: Tables
) -> int:
    """Fill `equity` bar by bar; returns the number of bars until trading ended for good."""
    rules = unpack_rules(packed[0])  # what is the whole account's
    k, n = len(targets), len(equity)
    on_close = rules.on_close > 0.0
    floor = rules.initial_cash * (1.0 - rules.max_drawdown) if rules.max_drawdown > 0.0 else 0.0
    called = False
    for t in range(n):
        if not on_close:
            if called:
                close_all(t, MARGIN, panel.open, packed, states, tables)
                called = False
            if t > 0:
                send_orders(t, t - 1, panel.open, panel, targets, scales, packed, states, tables)
        for i in range(k):
            if states[i, QUANTITY] != 0.0:
                guard(i, t, panel, packed, Books(states[i], tables))
                share(i, states)
        hold(t, panel, packed, states, tables)
        if on_close:
            send_orders(t, t, panel.close, panel, targets, scales, packed, states, tables)
        net, gross = values(t, panel.close, states)
        equity[t] = states[0, CASH] + net
        if reaches(floor, equity[t], floor):
            return end(t, panel, equity[t] <= 0.0, packed, states, tables)
        if rules.max_drawdown > 0.0:
            floor = max(floor, equity[t] * (1.0 - rules.max_drawdown))
        if gross > 0.0 and reaches(rules.margin * gross, equity[t], gross):
            called = True
            if on_close:
                close_all(t, MARGIN, panel.close, packed, states, tables)
                equity[t] = states[0, CASH]
                called = False
    return n


@inner
def values(t: int, prices: Array, states: Array) -> tuple[float, float]:
    """Net and gross value of all positions at prices[:, t]."""
    net, gross = 0.0, 0.0
    for i in range(len(states)):
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
    scales: Array,
    packed: Array,
    states: Array,
    tables: Tables,
) -> None:
    """Act in bar t at prices[:, t] upon the targets of bar `known`: first the orders that free cash."""
    for phase in (SHRINK, GROW):
        for i in range(len(states)):
            rules = unpack_rules(packed[i])
            target = targets[i, known]
            if target == states[i, HELD] and not is_due(t, states[i], rules):
                continue
            net, gross = values(t, prices, states)
            own = states[i, QUANTITY] * prices[i, t]
            scale = scales[i, known] if scales.shape[1] > 0 else 1.0
            at = Moment(t, prices[i, t], panel.volume[i, t], scale, net - own, gross - abs(own), np.nan, np.nan)
            follow(target, at, phase, Books(states[i], tables), rules)
            share(i, states)


@inner
def guard(i: int, t: int, panel: Panel, packed: Array, books: Books) -> None:
    """Exits of one instrument inside bar t."""
    rules = unpack_rules(packed[i])
    levels = exit_levels(books.state, 0.0, rules)
    if panel.low[i, t] <= levels.lower or panel.high[i, t] >= levels.upper:
        leave(t, panel.open[i, t], panel.low[i, t], panel.high[i, t], levels, books, rules)


@inner
def hold(t: int, panel: Panel, packed: Array, states: Array, tables: Tables) -> None:
    """Costs of holding; borrowed cash is shared out in proportion to the values of the long positions."""
    net, gross = values(t, panel.close, states)
    long_value = (net + gross) / 2.0
    debt = max(-states[0, CASH], 0.0)
    rules = unpack_rules(packed[0])
    for i in range(len(states)):
        value = states[i, QUANTITY] * panel.close[i, t]
        if value != 0.0:
            charge(
                panel.close[i, t], debt * value / long_value if value > 0.0 else 0.0, Books(states[i], tables), rules
            )
            if rules.trail > 0.0:
                track_extreme(panel.high[i, t], panel.low[i, t], states[i])
            share(i, states)


@inner
def close_all(t: int, reason: float, prices: Array, packed: Array, states: Array, tables: Tables) -> None:
    """Close every position at the market price of bar t."""
    for i in range(len(states)):
        quantity = states[i, QUANTITY]
        if quantity != 0.0:
            rules = unpack_rules(packed[i])
            close_position(t, market_price(-quantity, prices[i, t], rules), reason, Books(states[i], tables), rules)
            share(i, states)


@inner
def end(t: int, panel: Panel, ruined: bool, packed: Array, states: Array, tables: Tables) -> int:
    """Ruin, or the end by max_drawdown_stop, at the close of bar t; returns the bars played."""
    n, on_close = len(panel.timestamp), unpack_rules(packed[0]).on_close > 0.0
    _, gross = values(t, panel.close, states)
    if ruined:
        for i in range(len(states)):
            write_off(t, panel.close[i, t], Books(states[i], tables))
            share(i, states)
    elif gross > 0.0:
        if not on_close:
            t += 1
        if t == n:
            return n
        close_all(t, DRAWDOWN, panel.close if on_close else panel.open, packed, states, tables)
    forgive_debt(Books(states[0], tables))
    share(0, states)
    return t
