"""The targets of many parameter sets at once, of a strategy that has a form for it (Strategy.for_many)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Sides
from engine.data.bars import Bars
from engine.errors import ParameterError
from engine.strategies.levels import of_shape

if TYPE_CHECKING:
    from engine.strategies.base import Strategy


class Many(NamedTuple):
    """Parameter sets that are alike in all but their numbers."""

    at: list[int]  # which of those given
    params: Any  # an array of shape (k,) for each number


def bind_many(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> list[Many]:
    """What `Strategy.bind` accepts of the sets, which have the same keys.

    The others break a rule; bound alone they say which. Raises where the strategy has no form for many, where a value
    is refused, and where its rules cannot be asked of arrays.
    """
    columns = _columns(strategy, sets)
    held = np.ones(len(sets), np.bool_)
    for obeyed, _ in _params(strategy, columns, object).rules() if strategy.ruled else ():  # as Python computes
        held &= np.asarray(obeyed, dtype=np.bool_)
    alike = [columns[i] for i in strategy.no_numbers] or [[()] * len(sets)]
    parts: dict[Hashable, list[int]] = {}
    for i, key in enumerate(zip(*alike, strict=True)):
        if held[i]:
            parts.setdefault(key, []).append(i)
    return [Many(at, _params(strategy, [[column[i] for i in at] for column in columns])) for at in parts.values()]


def targets_of_many(strategy: Strategy, bars: Bars, bound: Many) -> Array | Sides:
    """Target exposures of shape (k, n_bars), whose values are not looked at yet. Raises what the strategy raises."""
    assert strategy.many is not None
    shape = (len(bound.at), len(bars.close))
    given: Any = strategy.many(strategy.seen(bars), bound.params)
    if isinstance(given, np.ndarray) and given.dtype == np.int8 and given.shape == shape:
        return np.ascontiguousarray(given)
    return of_shape(strategy.name, shape, "target", given)


def _columns(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The values of each field of Params, cast as `bind` casts them."""
    names, defaults = sets[0].keys(), strategy.params._field_defaults
    if any(one.keys() != names for one in sets):
        raise ParameterError("the sets have not all the same keys")
    given = {name: list(map(strategy.casts[name], [one[name] for one in sets])) for name in names}
    return [given[name] if name in given else [defaults[name]] * len(sets) for name in strategy.casts]


def _params(strategy: Strategy, columns: list[list[Any]], kind: type | None = None) -> Any:
    """Params with an array of each number; of anything else the first stands for all."""
    texts = strategy.no_numbers
    return strategy.params._make(
        column[0] if i in texts else np.array(column, dtype=kind) for i, column in enumerate(columns)
    )
