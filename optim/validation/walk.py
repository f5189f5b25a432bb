"""The compiled step of the stationary bootstrap. Importing it imports numba."""

from __future__ import annotations

from engine.compiled.arrays import Array, Booleans, Integers
from engine.compiled.jit import kernel


@kernel
def walk(jump: Booleans, start: Integers, counts: Array) -> None:
    """Count the periods of each draw, which begins with a jump: jump, start and counts of shape (n_draws, n_periods).

    A draw goes from a period to the next, round the end, and to `start` where it jumps.
    """
    draws, rows = jump.shape
    for draw in range(draws):
        period = start[draw, 0]
        for step in range(rows):
            if jump[draw, step]:
                period = start[draw, step]
            counts[draw, period] += 1.0
            period = period + 1 if period + 1 < rows else 0
