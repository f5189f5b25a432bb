"""Rows of a sweep, backtested together: their targets first, one by one or all at once, then their metrics."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Booleans, Sides
from engine.compiled.shared import Shared
from engine.compiled.turns import Turns
from engine.data.bars import Bars, detail_of, plain_bars
from engine.data.cells import Cell
from engine.data.income import income_of
from engine.errors import EngineError
from engine.evaluate import measure_cell, score_answer, score_rows
from engine.metrics.measure import N_METRICS
from engine.simulator.account import SEARCHABLE, Account, make_account
from engine.simulator.rules import pack_rules
from engine.simulator.sizing import volatility_scale
from engine.strategies.base import Strategy
from engine.strategies.levels import Answer
from engine.strategies.many import Sets, bind_many, targets_of_many
from engine.strategies.raised import reason

GROUP_BARS = 100_000  # bars scored in one call: their targets stay in the processor's caches
_RULES = frozenset(SEARCHABLE)
Row = Mapping[str, Any]
Terms = tuple[Array, Array]  # volatility_scale and pack_rules of an account


class Work(NamedTuple):
    """What all rows share."""

    strategy: Strategy
    account: Account
    instruments: tuple[Bars, ...]
    cell: Cell
    periods_per_year: float
    tails: bool
    shared: Shared
    turns: Turns


class Group(NamedTuple):
    """Rows whose targets are known."""

    at: list[int]  # where they stand among the rows
    targets: Array | Sides  # (k, n_bars)
    scales: Array  # volatility_scale of each, (k, n_bars), or (k, 0) for none
    rules: Array  # pack_rules of each, (k, n_rules)
    moving: Sequence[tuple[int, Account, Answer]] = ()  # further rows, whose levels move: each is simulated by itself


def backtest_rows(work: Work, rows: Sequence[Row]) -> tuple[Array, list[str]]:
    """The metrics of each row, shape (n_rows, n_metrics), NaN where it failed; and why, empty where it did not."""
    values, errors = np.full((len(rows), N_METRICS), np.nan), [""] * len(rows)
    size = GROUP_BARS // work.cell.stop if work.cell.instrument >= 0 else 0
    if size < 2:
        for i, row in enumerate(rows):
            errors[i] = _backtest_row(work, row, values[i])
        return values, errors
    left = set(range(len(rows)))
    for group in _at_once(work, rows):
        left.difference_update(group.at)
        _score(work, group, values, errors)
    rest = sorted(left)
    for start in range(0, len(rest), size):
        group = _one_by_one(work, rows, rest[start : start + size], errors)
        with work.turns.simulating():
            _score(work, group, values, errors)
    return values, errors


def _backtest_row(work: Work, row: Row, values: Array) -> str:
    """Fill `values`, (n_metrics,); what went wrong, if anything did."""
    try:
        account, params = _account_of(work.account, row), _params_of(row)
        given = (work.strategy, params, account, work.instruments, work.cell, work.periods_per_year)
        with work.shared:
            values[:] = measure_cell(*given, tails=work.tails)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's strategy may raise anything; the row fails, the sweep goes on
        return reason(work.strategy, error)
    return ""


def _at_once(work: Work, rows: Sequence[Row]) -> Iterator[Group]:
    """Rows whose targets the strategy can compute together; none where it has no form for that, or where that fails.

    Asked one by one, the others say what is wrong with them.
    """
    strategy, bars = work.strategy, work.instruments[0]
    if strategy.many is None:
        return
    try:
        terms = _terms_of(work, rows)
        fine = [i for i, one in enumerate(terms) if one is not None]
        sets = _sets_of(rows, fine)
        for many in bind_many(strategy, sets):
            with work.shared:
                targets = targets_of_many(strategy, bars, many)
                alone = strategy.answer(bars, strategy.bind(sets[many.at[-1]]))
            if alone.moving.size or not _same(alone.target, targets[-1]):
                return  # it has levels, or the form is wrong
            at = [fine[i] for i in many.at]
            scales, rules = zip(*(terms[i] for i in at), strict=True)
            yield Group(at, targets, _stacked(scales), _stacked(rules))
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        return


def _same(alone: Array, together: Array | Sides) -> bool:
    """Whether two targets have the same values, NaN and all."""
    return bool((alone == together).all()) or np.array_equal(alone, together, equal_nan=True)


def _terms_of(work: Work, rows: Sequence[Row]) -> list[Terms | None]:
    """volatility_scale and pack_rules of each row's account, once for those that set the same; None: refused."""
    if all(map(_RULES.isdisjoint, [rows.columns] if isinstance(rows, Sets) else rows)):
        return [_terms(work, {})] * len(rows)
    known: dict[Hashable, Terms | None] = {}
    found = []
    for row in rows:
        key = tuple((name, type(value), value) for name, value in row.items() if name in _RULES)
        if key not in known:
            known[key] = _terms(work, row)
        found.append(known[key])
    return found


def _terms(work: Work, row: Row) -> Terms | None:
    try:
        account = _account_of(work.account, row)
        return volatility_scale(work.instruments[0].close, account, work.periods_per_year), pack_rules(account)
    except EngineError:
        return None


def _one_by_one(work: Work, rows: Sequence[Row], some: Sequence[int], errors: list[str]) -> Group:
    """Those of some rows that have an answer; fills `errors` for the others."""
    strategy, bars = work.strategy, work.instruments[0]
    targets = np.empty((len(some), len(bars.close)))
    at: list[int] = []
    scales: list[Array] = []
    packed: list[Array] = []
    moving: list[tuple[int, Account, Answer]] = []
    with work.turns.signals(), work.shared:
        for i in some:
            try:
                account, params = _account_of(work.account, rows[i]), _params_of(rows[i])
                answer = strategy.answer(bars, strategy.bind(params))
                if answer.moving.size:
                    moving.append((i, account, answer._replace(target=answer.target.copy())))  # it may be used again
                    continue
                targets[len(at)] = answer.target
                scales.append(volatility_scale(bars.close, account, work.periods_per_year))
                packed.append(pack_rules(account))
                at.append(i)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                errors[i] = reason(strategy, error)
    return Group(at, targets[: len(at)], _stacked(scales), _stacked(packed), moving)


def _score(work: Work, group: Group, values: Array, errors: list[str]) -> None:
    """Fill the values and errors of the group's rows."""
    for i, account, answer in group.moving:
        try:
            values[i] = _alone(work, account, answer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            errors[i] = reason(work.strategy, error)
    scored, usable = _scored(work, group)
    values[group.at] = scored
    if not usable.all():
        for k in np.flatnonzero(~usable).tolist():
            errors[group.at[k]] = _unusable(work.strategy, group.targets[k])


def _scored(work: Work, group: Group) -> tuple[Array, Booleans]:
    """What `score_rows` says of these rows; there may be none."""
    if not group.at:
        return np.empty((0, N_METRICS)), np.empty(0, np.bool_)
    bars = work.instruments[0]
    group.rules.flags.writeable = False  # as pack_rules has it: kernels are compiled for one of the two
    given = (detail_of(bars), income_of(bars), group.scales, group.rules, work.periods_per_year, work.tails)
    return score_rows(plain_bars(bars), group.targets, *given)


def _alone(work: Work, account: Account, answer: Answer) -> Array:
    """The metrics of a row whose levels move."""
    work.strategy.refuse_unusable(answer.target)
    return score_answer(work.instruments[0], 0, answer, account, work.periods_per_year, work.tails)


def _unusable(strategy: Strategy, target: Array | Sides) -> str:
    try:
        strategy.refuse_unusable(target.astype(np.float64))
    except EngineError as error:
        return str(error)
    return ""


def _stacked(arrays: Sequence[Array]) -> Array:
    """Arrays of shape (n,) as one of shape (k, n), an empty one among others as ones; (k, 0) if all are empty."""
    width = max(map(len, arrays), default=0)
    stacked = np.empty((len(arrays), width))
    if len(set(map(id, arrays))) == 1:  # most often
        stacked[:] = arrays[0]
        return stacked
    for i, one in enumerate(arrays):
        stacked[i] = one if len(one) == width else 1.0
    return stacked


def _account_of(account: Account, row: Row) -> Account:
    """The account with the rules that the row sets."""
    if _RULES.isdisjoint(row):
        return account
    rules = {name: value.item() if hasattr(value, "item") else value for name, value in row.items() if name in _RULES}
    return make_account({**account._asdict(), **rules})


def _sets_of(rows: Sequence[Row], some: Sequence[int]) -> Sequence[Row]:
    """The strategy's parameters of some rows."""
    if isinstance(rows, Sets):
        return rows.chosen(some, [name for name in rows.columns if name not in _RULES])
    return [_params_of(rows[i]) for i in some]


def _params_of(row: Row) -> Row:
    """The strategy's parameters: what is no rule of the account."""
    return row if _RULES.isdisjoint(row) else {name: value for name, value in row.items() if name not in _RULES}
