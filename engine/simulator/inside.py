"""What happens to a position inside a bar, in this order: its rungs, its exits, the best price it has seen."""

from __future__ import annotations

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.simulator.account import Rules
from engine.simulator.exits import exit_levels, leave, track_extreme
from engine.simulator.ladder import climb
from engine.simulator.moving import AT_OPEN, leave_entered, moved, n_rungs
from engine.simulator.orders import QUANTITY, Books


@inner
def pass_through(
    t: int,
    start: float,
    high: float,
    low: float,
    entered: float,
    broken: float,
    margin: float,
    moving: Array,
    books: Books,
    rules: Rules,
) -> None:
    """A position goes through bar t, or a piece of it, that opens at `start`: rungs, exits, the best price seen.

    entered, broken: how it was opened in this piece and the price of its stop order, as for `leave_entered`.
    margin: the maintenance margin, 0 where it is judged elsewhere. moving: (0, 0) for no levels.
    """
    state, watched = books.state, moving.shape[1] > 0
    if n_rungs(moving) > 0:
        climb(t, start, low, high, entered, broken, margin, moving, books, rules)
    if state[QUANTITY] != 0.0:
        levels = exit_levels(state, margin, rules)
        if watched:
            levels = moved(levels, t, moving, state, rules)
        if entered > AT_OPEN:
            leave_entered(t, low, high, entered, broken, levels, books, rules)
        elif low <= levels.lower or high >= levels.upper:
            leave(t, start, low, high, levels, books, rules)
    if state[QUANTITY] != 0.0 and (rules.trail > 0.0 or watched) and entered <= AT_OPEN:
        track_extreme(high, low, state)
