"""The targets of many parameter sets at once, of a strategy that has a form for it (Strategy.for_many)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from engine.compiled.arrays import Array, Sides
from engine.data.bars import Bars
from engine.strategies.levels import of_shape

if TYPE_CHECKING:
    from engine.strategies.base import Strategy

Columns = Sequence[Sequence[Any]]  # a column per field of Params


class Sets(Sequence[Mapping[str, Any]]):
    """Parameter sets as the columns of a table, all of one length; a mapping is made of a row when it is asked for."""

    def __init__(self, columns: Mapping[str, list[Any]], length: int) -> None:
        self.columns = columns
        self._rows = range(length)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sets: ...
    def __getitem__(self, at: int | slice) -> Mapping[str, Any] | Sets:
        rows = self._rows[at]  # an IndexError where there is none
        found = {name: column[at] for name, column in self.columns.items()}
        return Sets(found, len(rows)) if isinstance(rows, range) else found

    def chosen(self, at: Sequence[int], names: Iterable[str]) -> Sets:
        """Some rows of some columns."""
        return Sets({name: [self.columns[name][i] for i in at] for name in names}, len(at))


class Many(NamedTuple):
    """Parameter sets that are alike in all but their numbers."""

    at: list[int]  # which of those given
    params: Any  # an array of shape (k,) for each number


def bind_many(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> list[Many]:
    """What `Strategy.bind` accepts of the sets, for a strategy with a form for many.

    The others, refused, are left out: bound alone they say why. Raises where the rules cannot be asked of arrays, or an
    int is beyond 64 bits.
    """
    columns = _columns(strategy, sets) if sets else None
    parts = _parts(strategy, sets) if columns is None else [(list(range(len(sets))), columns)]
    found = []
    for at, columns in parts:
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


def _columns(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> Columns | None:
    """All sets, which are most often alike in their keys and in what is no number; None where they are not.

    Column by column a crossover takes 0.5 us a set, set by set (`_parts`) 2.4.
    """
    names, defaults, k = sets[0].keys(), strategy.params._field_defaults, len(sets)
    if isinstance(sets, Sets):
        given = sets.columns
    elif all(one.keys() == names for one in sets):
        given = {name: [one[name] for one in sets] for name in names}
    else:
        return None
    try:
        cast = {name: list(map(strategy.casts[name], column)) for name, column in given.items()}
        columns = [cast[name] if name in cast else [defaults[name]] * k for name in strategy.casts]
    except Exception:  # noqa: BLE001 - as in _cast
        return None
    texts = (column for column, kind in zip(columns, strategy.kinds, strict=True) if kind is None)
    return columns if all(len({(type(v), v) for v in text}) == 1 for text in texts) else None


def _parts(strategy: Strategy, sets: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[int], Columns]]:
    """Which sets can be cast, and they, in parts that are alike in what is no number."""
    parts: dict[Hashable, tuple[list[int], list[list[Any]]]] = {}
    for i, one in enumerate(sets):
        if row := _cast(strategy, one):  # 0 == False, and is another choice
            key = tuple((type(v), v) for v, kind in zip(row, strategy.kinds, strict=True) if kind is None)
            at, rows = parts.setdefault(key, ([], []))
            at.append(i)
            rows.append(row)
    return ((at, list(zip(*rows, strict=True))) for at, rows in parts.values())


def _cast(strategy: Strategy, one: Mapping[str, Any]) -> list[Any]:
    """The values of all fields of Params, cast as `bind` casts them; empty where one is refused, missing or unknown."""
    casts, defaults = strategy.casts, strategy.params._field_defaults
    if not one.keys() <= casts.keys():
        return []
    try:
        return [cast(one[name]) if name in one else defaults[name] for name, cast in casts.items()]
    except Exception:  # noqa: BLE001 - a value may be anything; `bind` says what is wrong with it
        return []


def _obeys(strategy: Strategy, columns: Columns) -> Any:
    """Which sets obey the strategy's rules, as Python computes them: arrays of objects, not of 64 bits."""
    held = np.ones(len(columns[0]), np.bool_)
    for obeyed, _ in _params(strategy, columns, as_objects=True).rules() if strategy.ruled else ():
        held &= np.asarray(obeyed, dtype=np.bool_)
    return held


def _params(strategy: Strategy, columns: Columns, *, as_objects: bool = False) -> Any:
    """Params with an array of each number; of anything else the first stands for all."""
    return strategy.params._make(
        column[0] if kind is None else np.array(column, dtype=object if as_objects else kind)
        for column, kind in zip(columns, strategy.kinds, strict=True)
    )
