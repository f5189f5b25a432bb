"""The search space: a table of parameters, their conditions and constraints; the Optuna distribution of each.

Everything that asks "is this point allowed, which parameters does it have" is answered here; Optuna is imported only
to name distributions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from optim.errors import SpecError
from optim.expressions import Expression, ExpressionError, parse, suggestion

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

Value = int | float | str | bool
Point = dict[str, Value]
_KEYS = {
    "int": {"low", "high", "step", "log", "when"},
    "float": {"low", "high", "step", "log", "when"},
    "categorical": {"choices", "when"},
}


class Parameter(NamedTuple):
    """One searched parameter. `low` and `high` are inclusive; `step` 0 means continuous (float) or 1 (int)."""

    name: str
    type: Literal["int", "float", "categorical"]
    low: float = 0
    high: float = 0
    step: float = 0
    log: bool = False
    choices: tuple[Value, ...] = ()
    when: Expression | None = None

    def distribution(self) -> BaseDistribution:
        """The parameter as Optuna knows it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.type == "categorical":
            return CategoricalDistribution(self.choices)
        if self.type == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step or None)

    def size(self) -> float:
        """How many values it can take; inf for a continuous one."""
        if self.type == "categorical":
            return len(self.choices)
        step = self.step or (1 if self.type == "int" else 0)
        if step == 0:
            return 1 if self.low == self.high else math.inf
        return round((self.high - self.low) / step) + 1  # high is on the grid

    def at(self, unit: float) -> Value:
        """The value at a place in [0, 1).

        Equal shares for a discrete parameter, linear or logarithmic for a continuous one.
        """
        if self.type == "categorical":
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        size = self.size()
        if self.log:
            low, high = (self.low - 0.5, self.high + 0.5) if self.type == "int" else (self.low, self.high)
            raw = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
            value = min(max(raw, self.low), self.high)  # exp(log(x)) may miss x by a digit
            return round(value) if self.type == "int" else value
        if math.isinf(size):
            return self.low + unit * (self.high - self.low)
        return self.nth(min(int(unit * size), int(size) - 1))

    def nth(self, index: int) -> Value:
        """The value at a position of a discrete parameter's grid."""
        if self.type == "categorical":
            return self.choices[index]
        if self.type == "int":
            return int(self.low + index * (self.step or 1))
        return float(_decimal(self.low) + index * _decimal(self.step))

    def snap(self, value: Value) -> Value:
        """The value of the grid that `value` stands for: 0.06, where low + 2 * step gives 0.060000000000000005."""
        if self.type != "float" or self.step == 0:
            return value
        return self.nth(round((float(value) - self.low) / self.step))

    def unit(self, value: Value) -> float:
        """Where `value` lies in [0, 1]: the inverse of `at`, for distances."""
        if self.type == "categorical":
            return (self.choices.index(value) + 0.5) / len(self.choices)
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(float(value) / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)


class SearchSpace(NamedTuple):
    """Parameters in the order they are asked for, and the conditions every point must satisfy."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Expression, ...]
    fixed: Mapping[str, Value]

    def active(self, parameter: Parameter, values: Mapping[str, Value]) -> bool:
        """Whether a point that has `values` so far has this parameter too."""
        return parameter.when is None or _holds(parameter.when, {**self.fixed, **values})

    def feasible(self, point: Mapping[str, Value]) -> bool:
        """Whether the point satisfies every constraint whose parameters it has."""
        values = {**self.fixed, **point}
        return all(_holds(c, values) for c in self.constraints if c.names <= values.keys())

    def at(self, units: Sequence[float] | np.ndarray) -> Point:
        """The point at a place in the unit cube, one coordinate a parameter (feasible or not)."""
        point: Point = {}
        for parameter, unit in zip(self.parameters, units, strict=True):
            if self.active(parameter, point):
                point[parameter.name] = parameter.at(float(unit))
        return point

    def sample(self, rng: np.random.Generator) -> Point:
        """One point, uniform over the table (feasible or not)."""
        return self.at(rng.random(len(self.parameters)))

    def controllers(self) -> frozenset[str]:
        """Parameters on which the presence of others depends."""
        return frozenset().union(*(p.when.names for p in self.parameters if p.when is not None))

    def size(self) -> float:
        """Upper bound of the number of points, conditions and constraints left aside."""
        return math.prod(p.size() for p in self.parameters)

    def grid(self) -> Iterator[Point]:
        """Every feasible point once, in the order of the table, the last parameter fastest.

        The space must be finite.
        """
        return (point for point in self._expand(0, {}) if self.feasible(point))

    def _expand(self, index: int, point: Point) -> Iterator[Point]:
        if index == len(self.parameters):
            yield dict(point)
            return
        parameter = self.parameters[index]
        if not self.active(parameter, point):
            yield from self._expand(index + 1, point)
            return
        for position in range(int(parameter.size())):
            yield from self._expand(index + 1, {**point, parameter.name: parameter.nth(position)})


def parse_space(table: Mapping[str, Any], fixed: Mapping[str, Value], where: str) -> SearchSpace:
    """The search space of a TOML table; `where` names file and section in every error."""
    for key in table:
        if key not in ("parameters", "constraints"):
            raise SpecError(f"{where}: unknown key {key!r}{suggestion(key, ('parameters', 'constraints'))}")
    rows = table.get("parameters", {})
    if not isinstance(rows, Mapping) or not rows:
        raise SpecError(f"{where}: a search space needs at least one [parameters.NAME] table")
    parameters: list[Parameter] = []
    for name, row in rows.items():
        if name in fixed:
            continue
        known = [p.name for p in parameters] + list(fixed)
        parameters.append(_parse_parameter(name, row, known, f"{where} [parameters.{name}]"))
    names = [p.name for p in parameters] + list(fixed)
    texts = table.get("constraints", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SpecError(f"{where}: constraints must be a list of strings such as 'fast_window < slow_window'")
    constraints = tuple(_parse_expression(text, names, f"{where}: constraints") for text in texts)
    return SearchSpace(tuple(parameters), constraints, dict(fixed))


def _parse_parameter(name: str, row: Any, known: list[str], where: str) -> Parameter:
    if not isinstance(row, Mapping):
        raise SpecError(f"{where}: must be a table with a type, but is {row!r}")
    kind = row.get("type")
    if kind not in _KEYS:
        raise SpecError(f"{where}: type must be 'int', 'float' or 'categorical', but is {kind!r}")
    for key in row:
        if key != "type" and key not in _KEYS[kind]:
            raise SpecError(f"{where}: unknown key {key!r} for type {kind!r}{suggestion(key, _KEYS[kind])}")
    when = None
    if "when" in row:
        when = _parse_expression(row["when"], known, f"{where}: when")
    if kind == "categorical":
        return Parameter(name, "categorical", choices=_parse_choices(row, where), when=when)
    low, high, step = (_number(row, key, kind, where) for key in ("low", "high", "step"))
    log = row.get("log", False)
    if not isinstance(log, bool):
        raise SpecError(f"{where}: log must be true or false, but is {log!r}")
    if low > high:
        raise SpecError(f"{where}: low <= high must hold, but low = {low} and high = {high}")
    if "step" in row and step <= 0:
        raise SpecError(f"{where}: step must be positive, but is {step}")
    if log and (low <= 0 or "step" in row):
        raise SpecError(f"{where}: log = true needs low > 0 and no step, but low = {low}, step = {row.get('step')}")
    if step and kind == "float":
        steps = (_decimal(high) - _decimal(low)) // _decimal(step)
        high = float(_decimal(low) + steps * _decimal(step))  # the last value the step reaches
    if step and kind == "int":
        high = low + (high - low) // step * step
    return Parameter(name, kind, low, high, step, log, when=when)


def _decimal(value: float) -> Decimal:
    """The number as it is written: ten steps of 0.02 are 0.2, as the user means it and Optuna has it."""
    return Decimal(repr(value))


def _parse_choices(row: Mapping[str, Any], where: str) -> tuple[Value, ...]:
    choices = row.get("choices")
    if not isinstance(choices, list) or not choices:
        raise SpecError(f"{where}: choices must be a list with at least one value, but is {choices!r}")
    for choice in choices:
        if not isinstance(choice, str | int | float | bool):
            raise SpecError(f"{where}: choices may be strings, numbers and booleans, but one is {choice!r}")
    if len(set(choices)) != len(choices):
        raise SpecError(f"{where}: choices must differ from one another, but are {choices!r}")
    return tuple(choices)


def _parse_expression(text: Any, known: list[str], where: str) -> Expression:
    if not isinstance(text, str):
        raise SpecError(f"{where}: must be a string, but is {text!r}")
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
        raise SpecError(f"{where}: {key} must be {wanted}, but is {value!r}")
    if not math.isfinite(value):
        raise SpecError(f"{where}: {key} must be finite, but is {value!r}")
    return value if kind == "int" else float(value)


def _holds(condition: Expression, values: Mapping[str, Value]) -> bool:
    try:
        return bool(condition(values))
    except (
        KeyError,
        ArithmeticError,
        TypeError,
        ValueError,
    ):  # it names a parameter this point lacks, or has no value here
        return False
