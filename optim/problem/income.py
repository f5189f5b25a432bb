"""[data] funding, dividends, splits: columns of the bars, or of a file beside them, that bring cash to who holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from engine.data.bars import Bars, features_of
from engine.data.formats import Reading, feature_names
from engine.data.income import Due, due_of, pay, unsplit
from engine.data.joined import Series
from optim.errors import SpecError, counted, cut, shown
from optim.problem.sources import Source
from optim.spec.expressions import suggestion
from optim.spec.study import StudySpec

_FLOWS = ("funding", "dividends")


class Income:
    """What the study names, found in one instrument after the other."""

    def __init__(self, spec: StudySpec, series: Mapping[str, Series]) -> None:
        self._spec = spec
        told = spec.data
        self._names = {key: name for key in (*_FLOWS, "splits") if (name := getattr(told, key)) is not None}
        self._found: dict[str, set[str]] = {key: set() for key in self._names}  # the columns there are
        self._beside = {name: Due(*values) for one in series.values() for name, values in one.values.items()}
        self.used: dict[str, str] = {}  # the columns that were, with the key each
        self._counts: Counter[str] = Counter()  # what of each key falls into the bars
        self._missed = set(self._names)  # keys whose column no instrument has had so far

    def given(self, source: Source, bars: Bars, reading: Reading) -> Bars:
        """The bars on one scale, with what holding them brings: nothing without such a column.

        Raises DataError, and SpecError for a column with a text in it.
        """
        if not self._names:
            return bars
        columns = {key: self._column(key, source, bars, reading) for key in self._names}
        self.used |= {column: key for key, column in columns.items() if column is not None}
        dues = {key: self._due(bars, column) for key, column in columns.items() if column is not None}
        for key, due in dues.items():
            self._counts[key] += _inside(due, bars, nothing=1.0 if key == "splits" else 0.0)
        if any(key in self._names for key in _FLOWS):  # before the splits: a share of what it was worth then
            bars = pay(bars, *(dues.get(key) for key in _FLOWS))
        if (splits := columns.get("splits")) is None:
            return bars
        money = [name for name in (columns.get("dividends"),) if name is not None]
        return unsplit(bars, splits, money, None if splits in features_of(bars) else self._beside[splits])

    def check(self) -> None:
        """SpecError for a key whose column no instrument has."""
        for key in sorted(self._missed):
            name, found = self._names[key], self._found[key]
            if name.lower() in Bars._fields:
                raise SpecError(f"{self._place(key)}: is a column of every bar; name the one that has the {key}")
            there = cut(", ".join(sorted(found)), 300) or "no further column of numbers"
            near = suggestion(name, found)
            said = near if "did you mean" in near else f"; there is {there}"
            raise SpecError(f"{self._place(key)}: no such column{said}")

    def told(self) -> list[str]:
        """What of each key came in, in words."""
        nouns = {"funding": "rate", "dividends": "payment", "splits": "split"}
        return [f"{key}: {counted(self._counts[key], nouns[key])}" for key in self._names]

    def _column(self, key: str, source: Source, bars: Bars, reading: Reading) -> str | None:
        """The feature that the user means, by its own name or the file's; None where this instrument has none."""
        name, there = self._names[key], {**self._beside, **features_of(bars)}
        self._found[key].update(there)
        ours = feature_names({"": name}).get("", name)
        found = next((one for one in (name, ours) if one in there), None)
        if found is None and ours in reading.texts:
            said = f"{shown(source.given)}: {reading.texts[ours]}; correct it, or leave it empty"
            raise SpecError(f"{self._place(key)}: {cut(said, 400)}")
        if found is not None:
            self._missed.discard(key)
        return found

    def _place(self, key: str) -> str:
        return f"{self._spec.path}: [data] {key} = {shown(self._names[key])}"

    def _due(self, bars: Bars, column: str) -> Due:
        return due_of(bars, column) if column in features_of(bars) else self._beside[column]


def _inside(due: Due, bars: Bars, nothing: float) -> int:
    """How many of these fall between the first and the last bar, and are something."""
    inside = (due.times >= bars.timestamp[0]) & (due.times <= bars.timestamp[-1])
    return int((inside & ~np.isnan(due.values) & (due.values != 0.0) & (due.values != nothing)).sum())
