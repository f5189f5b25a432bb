"""Where a target exposure changes: between its turns a simulation needs nothing of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers, Sides
from engine.compiled.jit import inner, part


class Wishes(NamedTuple):
    """A target exposure, and where it changes."""

    target: Array  # (n_bars,); nobody looks at it where the turns say all (simulate.by_turns)
    turns: Integers  # (n_bars,), of which those that are needed are filled: see note_turns
    values: Array  # (n_turns + 1,), the target from bar 0 and from each turn on; empty where one is unusable


@part
def wishes_of(target: Array) -> Wishes:
    """Of a target of shape (n_bars,)."""
    turns, values = np.empty(len(target), np.int64), np.empty(len(target))
    n_turns = note_turns(target, turns, values)
    return Wishes(target, turns, values[: n_turns + 1])


@inner
def note_turns(target: Array | Sides, turns: Integers, values: Array) -> int:
    """Fill `turns` with the bars that have another target than the one before, then n_bars; `values` as Wishes has it.

    Returns how many turns there are, -1 when a target is NaN or outside [-1, 1].
    """
    found, earlier, later = 0, target[:-1], target[1:]
    for t in range(len(later)):
        turns[found] = t + 1  # kept only if it is one: nothing to mispredict
        found += later[t] != earlier[t]
    turns[found] = len(target)
    values[0] = target[0]
    n_usable = int(abs(values[0]) <= 1.0)
    for i in range(found):  # between turns it is what it was; a NaN is not even that, and a turn
        values[i + 1] = target[turns[i]]
        n_usable += abs(values[i + 1]) <= 1.0
    return found if n_usable == found + 1 else -1
