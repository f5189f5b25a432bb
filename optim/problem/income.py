"""[data] funding, dividends, splits: columns of the bars, or of a file beside them, that bring cash to who holds."""

from __future__ import annotations

from collections.abc import Mapping

from engine.data.bars import Bars, features_of
from engine.data.formats import Reading
from engine.data.income import Due, due_of, pay, unsplit
from engine.data.joined import Series
from optim.errors import SpecError, cut, shown
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
        self._missed = set(self._names)  # keys whose column no instrument has had so far

    def given(self, bars: Bars, reading: Reading) -> Bars:
        """The bars on one scale, with what holding them brings: nothing without such a column. Raises DataError."""
        if not self._names:
            return bars
        columns = {key: self._column(key, name, bars, reading) for key, name in self._names.items()}
        if (splits := columns.get("splits")) is not None:
            money = columns.get("dividends")
            bars = unsplit(bars, splits, () if money is None else (money,))
        dues = {key: self._due(bars, columns.get(key)) for key in _FLOWS}
        flows = any(key in self._names for key in _FLOWS)
        return pay(bars, dues["funding"], dues["dividends"]) if flows else bars

    def check(self) -> None:
        """SpecError for a key whose column no instrument has."""
        for key in sorted(self._missed):
            there = ", ".join(sorted(self._found[key])) or "no further column of numbers"
            where = f"{self._spec.path}: [data] {key} = {shown(self._names[key])}"
            raise SpecError(f"{where}: no such column; there is {cut(there, 300)}")

    def _column(self, key: str, name: str, bars: Bars, reading: Reading) -> str | None:
        """The feature that the user means, by its own name or the file's; None where this instrument has none."""
        own = features_of(bars)
        beside = {} if key == "splits" else self._beside
        self._found[key].update(own, beside)
        ours = {theirs: here for here, theirs in reading.features.items()}.get(name, name)
        found = next((one for one in (name, ours) if one in own or one in beside), None)
        if found is not None:
            self._missed.discard(key)
        return found

    def _due(self, bars: Bars, column: str | None) -> Due | None:
        if column is None:
            return None
        return due_of(bars, column) if column in features_of(bars) else self._beside[column]
