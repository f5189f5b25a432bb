"""[instruments.NAME]: the rules that an instrument has for itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.data.bars import Bars, slice_bars
from engine.data.calendar import own_bars
from engine.data.cells import Cell
from engine.errors import EngineError
from engine.simulator.account import CONTRACT, Account, make_account, make_contract
from optim.errors import SpecError, cut, shown
from optim.problem.currency import KEY as CURRENCY
from optim.problem.data import stops_of
from optim.problem.sources import Source
from optim.spec.expressions import suggestion
from optim.spec.sections import Scalar
from optim.spec.study import StudySpec


def accounts_of(spec: StudySpec, sources: Sequence[Source], account: Account) -> tuple[Account, ...]:
    """The account as every instrument has it, in the order of the sources; empty where all are alike.

    Raises SpecError on an instrument that is none, and on a rule that it cannot have for itself.
    """
    if not spec.instruments:
        return ()
    names = [source.name for source in sources]
    searched = {parameter.name for parameter in spec.search_space().parameters}
    for name in spec.instruments:
        where = f"{spec.path}: [instruments.{name[:60]}]"
        if names.count(name) != 1:
            found = "no such instrument" if name not in names else "two files have this name"
            raise SpecError(f"{where}: {found}; the data are {cut(', '.join(names))}{suggestion(name, names)}")
        for rule in (rules := _rules(spec, name)):
            named = f"{where} {rule[:60]} = {shown(rules[rule])}"
            if rule in ("initial_cash", "portfolio"):
                raise SpecError(f"{named}: is the same for all instruments; it goes into [backtest]")
            if rule in searched and rule not in CONTRACT:
                raise SpecError(f"{named}: is searched; remove it here or from the search space")
    return tuple(_own(spec, account, name) for name in names)


def _rules(spec: StudySpec, name: str) -> dict[str, Scalar]:
    """The account rules that an instrument has for itself, as they are written; its currency is none."""
    return {rule: value for rule, value in spec.instruments.get(name, {}).items() if rule != CURRENCY}


def _own(spec: StudySpec, account: Account, name: str) -> Account:
    rules = _rules(spec, name)
    try:
        return make_contract(account, rules) if spec.portfolio else make_account({**account._asdict(), **rules})
    except EngineError as error:
        raise SpecError(f"{spec.path}: [instruments.{name[:60]}] {cut(str(error), 300)}") from None


def check_ticks(
    spec: StudySpec,
    sources: Sequence[Source],
    accounts: Sequence[Account],
    instruments: tuple[Bars, ...],
    holdouts: tuple[Cell, ...],
) -> None:
    """SpecError where a tick is no smaller than a searched price."""
    stops = stops_of(instruments, holdouts)
    for account, source, bars, stop in zip(accounts, sources, instruments, stops, strict=True):
        if account.tick_size >= (lowest := float(own_bars(slice_bars(bars, 0, stop)).low.min(initial=np.inf))):
            raise SpecError(
                f"{spec.path}: tick_size = {account.tick_size:g}: must be below every price, but {source.given} has "
                f"{lowest:g}; give the tick in the unit of the prices"
            )
