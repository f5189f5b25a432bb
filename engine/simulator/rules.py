"""Account rules on their way into the compiled simulator: one array outside, one record inside.

A NamedTuple of two dozen floats costs numba 2 us a call to see through, and every kernel that is called with it two
dozen arguments; a record is one pointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import kernel
from engine.simulator.account import Account, Rules, make_rules

RECORD = np.dtype((np.record, [(name, np.float64) for name in Rules._fields]))


@lru_cache(maxsize=4096)
def pack_rules(account: Account) -> Array:
    """The rules as an array of floats, shape (n_rules,); ParameterError as make_rules."""
    packed = np.array(make_rules(account))
    packed.flags.writeable = False
    return packed


def pack_each(account: Account, each: Sequence[Account], count: int) -> Array:
    """The rules of `count` instruments that share an account, shape (count, n_rules).

    each: an account per instrument, which differs from `account` in CONTRACT only; empty where none does.
    """
    return np.stack([pack_rules(one) for one in each or [account] * count])


@kernel
def unpack_rules(packed: Array) -> Rules:
    """The rules by name, read from the array itself."""
    return packed.view(RECORD)[0]  # type: ignore[no-any-return]
