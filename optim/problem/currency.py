"""[data.currencies.NAME] and [instruments.NAME] currency: instruments that are quoted in another money."""

from __future__ import annotations

from collections.abc import Collection

from engine.data.bars import Bars
from engine.data.currency import in_currency, rates_of
from engine.data.inspect import spoken
from engine.data.joined import Series
from engine.errors import EngineError
from optim.errors import SpecError, cut, shown
from optim.problem.features import place_of, read_tables, said_of
from optim.problem.sources import Source
from optim.spec.expressions import suggestion
from optim.spec.study import StudySpec

KEY, TABLE = "currency", "data.currencies"


class Currencies:
    """The rates that the study names, and whose prices they turn."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._rates: dict[str, Series] = read_tables(spec, spec.data.currencies, TABLE)
        for name, rates in self._rates.items():
            try:
                rates_of(rates, name)
            except EngineError as error:
                raise SpecError(f"{self._place(name)}: {said_of(error, TABLE, name)}") from None
        for name, rules in spec.instruments.items():
            if (told := rules.get(KEY)) is not None and told not in self._rates:
                where = f"{spec.path}: [instruments.{name[:60]}] currency = {shown(told)}"
                there = suggestion(str(told), list(self._rates)) or "; give it the file of its rates"
                raise SpecError(f"{where}: there is no table [data.currencies.{told}]{there}")
        told_of = {rules[KEY] for rules in spec.instruments.values() if KEY in rules}
        for name in self._rates:
            if name not in told_of:
                raise SpecError(
                    f"{spec.path}: [data.currencies.{name[:60]}]: no instrument is quoted in it; "
                    f'give [instruments.NAME] currency = "{name}", or remove it'
                )

    def told(self, names: Collection[str]) -> list[str]:
        """What has become of which of these instruments, in words."""
        of = {name: str(rules[KEY]) for name, rules in self._spec.instruments.items() if KEY in rules and name in names}
        lags = {told: spoken(rates.lag / 1e9) for told, rates in self._rates.items()}
        return [f"{name} in {told}, rates with a lag of {lags[told]}" for name, told in of.items()]

    def given(self, source: Source, bars: Bars) -> Bars:
        """The bars of an instrument in the account's money. Raises SpecError."""
        told = self._spec.instruments.get(source.name, {}).get(KEY)
        if told is None:
            return bars
        try:
            return in_currency(bars, self._rates[str(told)], str(told))
        except EngineError as error:
            raise SpecError(f"{self._place(str(told))}: {shown(source.given)}: {cut(str(error), 400)}") from None

    def _place(self, name: str) -> str:
        return place_of(self._spec, self._spec.data.currencies, TABLE, name)
