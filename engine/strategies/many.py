"""The targets of many parameter sets at once, of a strategy that has a form for it (Strategy.for_many)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Sides
from engine.data.bars import Bars
from engine.strategies.levels import of_shape

if TYPE_CHECKING:
    from engine.strategies.base import Strategy


class Many(NamedTuple):
    """Parameter sets that are alike in all but their numbers."""

    at: list[int]  # which of those given
    params: Any  # an array of shape (k,) for each number


def bind_many(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> list[Many]:
    """What `Strategy.bind` accepts of the sets, for a strategy with a form for many.

    The others, refused, are left out: bound alone they say why. Raises where the rules cannot be asked of arrays, or an
    int is beyond 64 bits.
    """
    kinds = strategy.kinds
    parts: dict[Hashable, list[int]] = {}
    rows: list[list[Any]] = []
    for i, one in enumerate(sets):
        row = _cast(strategy, one)
        rows.append(row)
        if row:  # 0 == False, and is another choice
            key = tuple((type(v), v) for v, kind in zip(row, kinds, strict=True) if kind is None)
            parts.setdefault(key, []).append(i)
    found = []
    for at in parts.values():
        columns = list(zip(*(rows[i] for i in at), strict=True))
        held = _obeys(strategy, columns)
        if held.all():
            found.append(Many(at, _params(strategy, columns)))
        elif held.any():
            kept = np.flatnonzero(held).tolist()
            chosen = [[column[i] for i in kept] for column in columns]
            found.append(Many([at[i] for i in kept], _params(strategy, chosen)))
    return found


def targets_of_many(strategy: Strategy, bars: Bars, bound: Many) -> Array | Sides:
    """Target exposures of shape (k, n_bars), whose values are not looked at yet. Raises what the strategy raises."""
    assert strategy.many is not None
    shape = (len(bound.at), len(bars.close))
    given: Any = strategy.many(strategy.seen(bars), bound.params)
    if isinstance(given, np.ndarray) and given.dtype == np.int8 and given.shape == shape:
        return np.require(given, requirements=["C", "W"])  # kernels are compiled for it
    return of_shape(strategy.name, shape, "target", given)


def _cast(strategy: Strategy, one: Mapping[str, Any]) -> list[Any]:
    """The values of all fields of Params, cast as `bind` casts them; empty where one is refused, missing or unknown."""
    casts, defaults = strategy.casts, strategy.params._field_defaults
    if not one.keys() <= casts.keys():
        return []
    try:
        return [cast(one[name]) if name in one else defaults[name] for name, cast in casts.items()]
    except Exception:  # noqa: BLE001 - a value may be anything; `bind` says what is wrong with it
        return []


def _obeys(strategy: Strategy, columns: Sequence[Sequence[Any]]) -> Any:
    """Which sets obey the strategy's rules, as Python computes them: arrays of objects, not of 64 bits."""
    held = np.ones(len(columns[0]), np.bool_)
    for obeyed, _ in _params(strategy, columns, as_objects=True).rules() if strategy.ruled else ():
        held &= np.asarray(obeyed, dtype=np.bool_)
    return held


def _params(strategy: Strategy, columns: Sequence[Sequence[Any]], *, as_objects: bool = False) -> Any:
    """Params with an array of each number; of anything else the first stands for all."""
    return strategy.params._make(
        column[0] if kind is None else np.array(column, dtype=object if as_objects else kind)
        for column, kind in zip(columns, strategy.kinds, strict=True)
    )
