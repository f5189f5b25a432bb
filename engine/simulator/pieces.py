"""How a bar is gone through: as a whole, or by the finer bars inside it."""

from __future__ import annotations

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner, outer
from engine.data.bars import Bars
from engine.simulator.account import Rules
from engine.simulator.inside import pass_through
from engine.simulator.moving import AT_OPEN, BREAK_AT, LIMIT_AT, NOT_YET, enter
from engine.simulator.orders import QUANTITY, Books, Moment


@outer
def by_pieces(
    wish: float, waits: bool, at: Moment, bars: Bars, detail: Array, moving: Array, books: Books, rules: Rules
) -> None:
    """`go_through` for each finer bar inside bar at.t; for the bar as a whole where it has none."""
    t, piece = at.t, 0
    if np.isnan(detail[t, 0, 0]):
        go_through(wish, waits, at, bars.high[t], bars.low[t], moving, books, rules)
        return
    while piece < detail.shape[1] and not np.isnan(detail[t, piece, 0]):
        now = Moment(t, detail[t, piece, 0], *at[2:])
        waits = go_through(wish, waits, now, detail[t, piece, 1], detail[t, piece, 2], moving, books, rules)
        piece += 1


@inner
def go_through(
    wish: float, waits: bool, at: Moment, high: float, low: float, moving: Array, books: Books, rules: Rules
) -> bool:
    """A bar, or a piece of one, from its open at.price on: the entry order first, then what happens to the position.

    waits: whether an entry order for the target `wish` is to be worked; returned: whether it still is.
    """
    state, entered, broken = books.state, AT_OPEN, np.nan
    if waits:
        limit, broken = moving[LIMIT_AT, at.t - 1], moving[BREAK_AT, at.t - 1]
        entered = enter(wish, at, low, high, limit, broken, books, rules)
        waits = entered == NOT_YET and state[QUANTITY] == 0.0
    if state[QUANTITY] != 0.0:
        pass_through(at.t, at.price, high, low, entered, broken, rules.margin, moving, books, rules)
    return waits
