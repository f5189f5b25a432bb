"""A search space as a TOML table: every key known, every number usable, every expression sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optim.errors import SpecError, shown
from optim.spec.expressions import Expression, parse, suggestion
from optim.spec.kinds import ExpressionError, Kinds, kinds_of
from optim.spec.space import Parameter, SearchSpace, Value, as_written

_KEYS = {
    "int": {"low", "high", "step", "log", "when"},
    "float": {"low", "high", "step", "log", "when"},
    "categorical": {"choices", "when"},
}
_LARGEST = {"int": 2**53, "float": 1e100}  # what Optuna's floats hold exactly; what can be squared
_STEPS = 2**53
_NAME = 100  # characters


def parse_space(table: Mapping[str, Any], fixed: Mapping[str, Value], where: str) -> SearchSpace:
    """The search space of a TOML table; `where` names file and section in every error."""
    for key in table:
        if key not in ("parameters", "constraints"):
            raise SpecError(f"{where}: unknown key {shown(key)}{suggestion(key, ('parameters', 'constraints'))}")
    rows = table.get("parameters", {})
    if not isinstance(rows, Mapping) or not rows:
        raise SpecError(f"{where}: a search space needs at least one [parameters.NAME] table")
    parameters: list[Parameter] = []
    known = {name: kinds_of([value]) for name, value in fixed.items()}
    for name, row in rows.items():
        if name not in fixed:
            parameters.append(_parse_parameter(name, row, known, f"{where} [parameters.{name[:_NAME]}]"))
            known[name] = parameters[-1].kinds()
    texts = table.get("constraints", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SpecError(f"{where}: constraints must be a list of strings such as 'fast_window < slow_window'")
    constraints = tuple(_parse_expression(text, known, f"{where}: constraints") for text in texts)
    return SearchSpace(tuple(parameters), constraints, dict(fixed))


def _parse_parameter(name: str, row: Any, known: Mapping[str, Kinds], where: str) -> Parameter:
    if not 0 < len(name) <= _NAME or not name.isprintable():
        raise SpecError(f"{where}: a name must have 1 to {_NAME} printable characters")
    if not isinstance(row, Mapping):
        raise SpecError(f"{where}: must be a table with a type, but is {shown(row)}")
    kind = row.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise SpecError(f"{where}: type must be 'int', 'float' or 'categorical', but is {shown(kind)}")
    for key in row:
        if key != "type" and key not in _KEYS[kind]:
            raise SpecError(f"{where}: unknown key {shown(key)} for type {kind!r}{suggestion(key, _KEYS[kind])}")
    when = None
    if "when" in row:
        when = _parse_expression(row["when"], known, f"{where}: when")
    if kind == "categorical":
        return Parameter(name, "categorical", choices=_parse_choices(row, where), when=when)
    low, high, step = (_number(row, key, kind, where) for key in ("low", "high", "step"))
    log = row.get("log", False)
    if not isinstance(log, bool):
        raise SpecError(f"{where}: log must be true or false, but is {shown(log)}")
    if low > high:
        raise SpecError(f"{where}: low <= high must hold, but low = {low} and high = {high}")
    if "step" in row and step <= 0:
        raise SpecError(f"{where}: step must be positive, but is {step}")
    if log and (low <= 0 or "step" in row):
        raise SpecError(f"{where}: log = true needs low > 0 and no step, but low = {low}, step = {row.get('step')}")
    if step and (high - low) / step > _STEPS:
        raise SpecError(f"{where}: step = {step} is too small for low = {low} and high = {high}")
    if step and kind == "float":
        steps = (as_written(high) - as_written(low)) // as_written(step)
        high = float(as_written(low) + steps * as_written(step))  # the last value the step reaches
    if step and kind == "int":
        high = low + (high - low) // step * step
    return Parameter(name, kind, low, high, step, log, when=when)  # type: ignore[arg-type]


def _parse_choices(row: Mapping[str, Any], where: str) -> tuple[Value, ...]:
    choices = row.get("choices")
    if not isinstance(choices, list) or not choices:
        raise SpecError(f"{where}: choices must be a list with at least one value, but is {shown(choices)}")
    for choice in choices:
        if not isinstance(choice, str | int | float | bool):
            raise SpecError(f"{where}: choices may be strings, numbers and booleans, but one is {shown(choice)}")
        if isinstance(choice, float) and not math.isfinite(choice):
            raise SpecError(f"{where}: choices must be finite, but one is {choice}")
    if len(set(choices)) != len(choices):
        raise SpecError(f"{where}: choices must differ from one another, but are {shown(choices)}")
    return tuple(choices)


def _parse_expression(text: Any, known: Mapping[str, Kinds], where: str) -> Expression:
    if not isinstance(text, str):
        raise SpecError(f"{where}: must be a string, but is {shown(text)}")
    try:
        return parse(text, known)
    except ExpressionError as error:
        raise SpecError(f"{where}: {error}") from None


def _number(row: Mapping[str, Any], key: str, kind: str, where: str) -> float:
    if key == "step" and key not in row:
        return 0
    value = row.get(key)
    wanted = "a whole number" if kind == "int" else "a number"
    if isinstance(value, bool) or not isinstance(value, int if kind == "int" else int | float):
        found = "is missing" if value is None else f"is {shown(value)}"
        raise SpecError(f"{where}: {key} must be {wanted}, but {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{where}: {key} must be finite, but is {value!r}")
    if abs(value) > _LARGEST[kind]:
        raise SpecError(f"{where}: {key} must be from -{_LARGEST[kind]:g} to {_LARGEST[kind]:g}, but is {shown(value)}")
    return value if kind == "int" else float(value)
