"""One set of parameters as a task: by name, or from a file that was written earlier, on a window of searched bars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.data.cells import Cell
from engine.data.times import boundary, find_zone
from engine.errors import EngineError
from engine.simulator.account import ALIASES, SEARCHABLE, Account, make_account
from optim.errors import SpecError, cut, shown
from optim.problem.plan import Plan
from optim.spec.expressions import suggestion
from optim.spec.toml_file import read_toml
from optim.workers.tasks import Task


class Given(NamedTuple):
    """Parameters by name: the strategy's, and account rules."""

    params: Mapping[str, Any]
    rules: Mapping[str, Any]


Asked = Mapping[str, Any] | Given  # by name alone, or told apart


def by_name(plan: Plan, values: Mapping[str, Any]) -> Given:
    """Values of the strategy's parameters and of account rules, told apart by name. Raises SpecError."""
    own = _own(plan)
    for name in values:
        if name not in own and name not in SEARCHABLE:
            known = [*own, *SEARCHABLE]
            raise SpecError(
                f"{plan.spec.path}: strategy {plan.strategy.name!r} has no parameter {shown(name)}"
                f"{suggestion(name, known, ALIASES)} (it has {cut(', '.join(own))})"
            )
        if name in own and name in SEARCHABLE:
            raise SpecError(
                f"{plan.spec.path}: {name} is both a parameter of strategy {plan.strategy.name!r} and an account rule; "
                "write it into a file, under [strategy.fixed] or [backtest]"
            )
    return Given({k: v for k, v in values.items() if k in own}, {k: v for k, v in values.items() if k not in own})


def from_file(plan: Plan, path: Path) -> Given:
    """The parameters of a best_params.toml, or of the JSON that show, backtest and a backtest's folder have.

    Raises SpecError.
    """
    where = f"--params {path}"
    if path.suffix == ".json":
        table = _read_json(path, where)
        best = table.get("best", table)
        params = best.get("params") if isinstance(best, dict) else None
        if not isinstance(params, dict):
            raise SpecError(f'{where}: has no parameters; it needs an object "params", as optim show --json writes it')
        account = table.get("account")  # of a backtest; the best of a study has its rules among its parameters
        return Given(params, account) if isinstance(account, dict) else by_name(plan, params)
    table = read_toml(path, "--params")
    strategy, rules = table.get("strategy", {}), table.get("backtest", {})
    params = strategy.get("fixed", {}) if isinstance(strategy, dict) else {}
    if not isinstance(params, dict) or not isinstance(rules, dict) or not {**params, **rules}:
        raise SpecError(f"{where}: has no parameters; it needs [strategy.fixed], as optim show prints it")
    if (name := strategy.get("name", plan.spec.strategy.name)) != plan.spec.strategy.name:
        raise SpecError(
            f"{where}: is of strategy {shown(name)}, {plan.spec.path} is of {shown(plan.spec.strategy.name)}; "
            "name the study it is from"
        )
    for place, names, known in (("[strategy.fixed]", params, _own(plan)), ("[backtest]", rules, Account._fields)):
        for key in names:
            if key not in known and (place, key) != ("[backtest]", "portfolio"):
                raise SpecError(f"{where}: {place} {key}: no such parameter{suggestion(key, known)}")
    return Given(params, {key: value for key, value in rules.items() if key != "portfolio"})


def task_of(plan: Plan, given: Given, cell: Cell) -> Task:
    """The backtest of these parameters on one cell; what is not given is as the study fixes it. Raises SpecError."""
    params = {**plan.spec.strategy.fixed, **given.params}
    defaults = () if plan.strategy.params is None else plan.strategy.params._field_defaults
    needed = {p.name for p in plan.space.parameters if p.when is None} - {*SEARCHABLE} - {*defaults}
    if missing := sorted(needed - params.keys()):
        raise SpecError(f"{plan.spec.path}: {', '.join(missing)} has no value; give every searched parameter one")
    try:
        make_account({**plan.account._asdict(), **given.rules})
        plan.strategy.bind(params)
    except EngineError as error:
        raise SpecError(f"{plan.spec.path}: {cut(str(error), 300)}") from None
    task = Task(params, plan.account, (cell,), keep=True, each=plan.each)
    return task.under(lambda account: account._replace(**given.rules))


def outside(plan: Plan, given: Given) -> str:
    """Why the search would not have tried these parameters; "" where it might have."""
    searched = {p.name for p in plan.space.parameters}
    try:
        plan.space.admit({k: v for k, v in {**given.params, **given.rules}.items() if k in searched})
    except ValueError as error:
        return str(error)
    return ""


def window(plan: Plan, number: int, start: str | None, end: str | None) -> Cell:
    """The searched bars of the cell at a place of `plan.searched`, from start to end, both inclusive as in [data].

    Raises SpecError when it would reach into the hold-out, or has fewer than 2 bars.
    """
    whole = plan.searched[number]
    times = plan.job.instruments[max(whole.instrument, 0)].timestamp
    stop, first = whole.stop, 0
    try:
        zone = find_zone(plan.spec.data.timezone)
        if start is not None:
            first = int(np.searchsorted(times, boundary(start, zone, end=False)))
        if end is not None:
            stop = int(np.searchsorted(times, boundary(end, zone, end=True)))
    except EngineError as error:
        raise SpecError(f"{plan.spec.path}: {error}") from None
    asked = ", ".join(f"{key} = {value}" for key, value in (("start", start), ("end", end)) if value is not None)
    last = np.datetime_as_string(times[whole.stop - 1].astype("datetime64[ns]"), unit="D")
    if plan.holdouts and (stop > whole.stop or first >= whole.stop):
        raise SpecError(
            f"{plan.spec.path}: {asked}: reaches into the hold-out, which only optim holdout "
            f"opens; the searched bars end on {last}"
        )
    if stop - first < 2:
        raise SpecError(f"{plan.spec.path}: {asked}: leaves fewer than 2 bars")
    return Cell(whole.instrument, first, stop)


def _own(plan: Plan) -> tuple[str, ...]:
    """The strategy's own parameters; of a plain callable those that the study names."""
    if plan.strategy.params is not None:
        return tuple(plan.strategy.params._fields)
    named = (*(p.name for p in plan.space.parameters if p.name not in SEARCHABLE), *plan.spec.strategy.fixed)
    return tuple(dict.fromkeys(named))


def _read_json(path: Path, where: str) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{where}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{where}: not valid JSON: {cut(str(error))}") from None
    if not isinstance(table, dict):
        raise SpecError(f"{where}: must be a JSON object, but is {shown(table)}")
    return table
