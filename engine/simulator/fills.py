"""The table of fills: one row for everything that is bought or sold.

A table without rows switches it off: searches judge by trades, and only a backtest that is read has its fills written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import kernel, outer

N_FILL = 7  # FILL_COLUMNS of engine.simulator.columns
A_BAR = 3  # fills of one instrument in one bar, at most: one that closes, one that opens, an exit


class Tables(NamedTuple):
    """What a simulation writes down."""

    trades: Array  # (room, N_TRADE), of which the first state[N_TRADES] rows are filled
    fills: Array  # (room, N_FILL), of which the first state[N_FILLS] rows are filled; (0, N_FILL): none are asked for


@kernel
def no_fills() -> Array:
    """A table that takes none."""
    return np.empty((0, N_FILL))


def room_for_fills(n_bars: int, n_instruments: int = 1, n_rungs: int = 0) -> Array:
    """A table that takes all fills; n_rungs: of a ladder. Memory that is not written to costs nothing."""
    return np.empty(((A_BAR + n_rungs) * n_bars * n_instruments, N_FILL))


@outer
def write_fill(
    row: int, which: float, t: int, change: float, paid: float, fee: float, reason: float, after: float, fills: Array
) -> None:
    """Fill one row. change: units bought, negative where sold; after: units held then."""
    fills[row, 0] = which
    fills[row, 1] = t
    fills[row, 2] = change
    fills[row, 3] = paid
    fills[row, 4] = fee
    fills[row, 5] = reason
    fills[row, 6] = after
