"""The only money arithmetic: bars, target exposure and account rules -> equity, trades and totals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.account import Rules
from engine.arrays import Array
from engine.bars import Bars
from engine.jit import kernel

# Columns of a trade: one round trip, from flat to flat; resizing in between belongs to it.
TRADE_COLUMNS = ("entry_bar", "exit_bar", "entry_price", "exit_price", "size", "pnl", "fees", "exit_reason")
ENTRY_BAR, EXIT_BAR, ENTRY_PRICE, EXIT_PRICE, SIZE, PNL, FEES, EXIT_REASON = range(8)
EXIT_REASONS = ("signal", "open")
SIGNAL, OPEN = range(2)

# Slots of a position: what is held, and the sums of the round trip it belongs to. An array, because a record or a
# tuple of this many fields takes numba several times as long to compile.
QUANTITY, FLOW, PAID_FEES, SINCE, ENTRY_QUANTITY, ENTRY_VALUE, EXIT_VALUE = range(7)
N_POSITION = 7
# Slots of the ledger, shared by all positions.
CASH, TOTAL_FEES, TRADED, N_TRADES = range(4)
N_LEDGER = 4


class Run(NamedTuple):
    """What a simulation leaves behind."""

    equity: Array  # (n_bars,), marked at the close of every bar
    trades: Array  # (n_trades, 8), TRADE_COLUMNS; a position still open is the last row, exit_reason OPEN
    fees: float
    traded: float  # sum of the notionals of all fills


@kernel
def simulate(bars: Bars, target: Array, rules: Rules) -> Run:
    """Trade a target exposure of shape (n_bars,), each in [-1, 1]; target[t] is traded at the open of t + 1."""
    open_, close = bars.open, bars.close
    equity = np.empty(len(close))
    trades = np.empty((16, len(TRADE_COLUMNS)))
    ledger = np.zeros(N_LEDGER)
    position = np.zeros(N_POSITION)
    ledger[CASH] = rules.initial_cash
    held = 0.0  # the target last acted upon
    cash, quantity = rules.initial_cash, 0.0
    for t in range(len(close)):
        if t > 0 and target[t - 1] != held:
            held = target[t - 1]
            trades = trade_to(held, t, open_[t], ledger, position, trades, rules)
            cash, quantity = ledger[CASH], position[QUANTITY]
        equity[t] = cash + quantity * close[t]
    if quantity != 0.0:
        trades = record_trade(len(close) - 1, OPEN, quantity * close[-1], ledger, position, trades)
    return Run(equity, trades[: int(ledger[N_TRADES])], ledger[TOTAL_FEES], ledger[TRADED])


@kernel
def trade_to(target: float, t: int, price: float, ledger: Array, position: Array, trades: Array, rules: Rules) -> Array:
    """Bring the position to the target; a change of sign closes it and opens the other side with what is left."""
    quantity = position[QUANTITY]
    if quantity != 0.0 and quantity * target <= 0.0:
        fill(-quantity, t, price, ledger, position, rules)
        trades = record_trade(t, SIGNAL, 0.0, ledger, position, trades)
        quantity = 0.0
    if target != 0.0:
        equity = ledger[CASH] + quantity * price
        budget = max(equity, 0.0) * abs(target)
        side = 1.0 if target > 0.0 else -1.0
        more = budget >= abs(quantity) * price
        buys = (side > 0.0) == more
        paid = price * (1.0 + rules.slippage) if buys else price * (1.0 - rules.slippage)
        wanted = side * budget / (paid * (1.0 + rules.fee))
        fill(wanted - quantity, t, price, ledger, position, rules)
    return trades


@kernel
def fill(change: float, t: int, price: float, ledger: Array, position: Array, rules: Rules) -> None:
    """Buy (change > 0) or sell at a price, slippage and fee inside."""
    if change == 0.0:
        return
    paid = price * (1.0 + rules.slippage) if change > 0.0 else price * (1.0 - rules.slippage)
    value = abs(change) * paid
    fee = rules.fee * value
    quantity = position[QUANTITY]
    if quantity == 0.0:
        position[SINCE] = t
    if quantity * change >= 0.0:
        position[ENTRY_QUANTITY] += change
        position[ENTRY_VALUE] += value
    else:
        position[EXIT_VALUE] += value
    flow = -change * paid - fee
    position[QUANTITY] = quantity + change
    position[FLOW] += flow
    position[PAID_FEES] += fee
    ledger[CASH] += flow
    ledger[TOTAL_FEES] += fee
    ledger[TRADED] += value


@kernel
def record_trade(t: int, reason: int, open_value: float, ledger: Array, position: Array, trades: Array) -> Array:
    """Append the round trip that ends at bar t and reset the position; open_value marks one that is still open."""
    n = int(ledger[N_TRADES])
    if n == len(trades):
        grown = np.empty((2 * n, len(TRADE_COLUMNS)))
        for row in range(n):  # loops: numba takes seconds to compile an assignment of a slice
            for column in range(len(TRADE_COLUMNS)):
                grown[row, column] = trades[row, column]
        trades = grown
    size = position[ENTRY_QUANTITY]
    trades[n, ENTRY_BAR] = position[SINCE]
    trades[n, EXIT_BAR] = t
    trades[n, ENTRY_PRICE] = position[ENTRY_VALUE] / abs(size)
    trades[n, EXIT_PRICE] = (position[EXIT_VALUE] + abs(open_value)) / abs(size)
    trades[n, SIZE] = size
    trades[n, PNL] = position[FLOW] + open_value
    trades[n, FEES] = position[PAID_FEES]
    trades[n, EXIT_REASON] = reason
    ledger[N_TRADES] = n + 1
    for slot in range(N_POSITION):
        position[slot] = 0.0
    return trades
