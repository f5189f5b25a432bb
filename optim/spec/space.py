"""The search space: parameters, their conditions and constraints; the Optuna distribution of each.

Everything that asks "is this point allowed, which parameters does it have" is answered here; Optuna is imported only
to name distributions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from optim.errors import shown
from optim.spec.expressions import Expression, suggestion
from optim.spec.kinds import NUMBER, Kinds, kinds_of

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

Value = int | float | str | bool
Point = dict[str, Value]
ENUMERABLE = 1_000_000  # points; a space this small is gone through for a point that is hard to draw


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
        return float(as_written(self.low) + index * as_written(self.step))

    def snap(self, value: Value) -> Value:
        """The value of the grid that `value` stands for: 0.06, where low + 2 * step gives 0.060000000000000005."""
        if self.type != "float" or self.step == 0:
            return value
        return self.nth(round((float(value) - self.low) / self.step))

    def admit(self, value: Any) -> Value:
        """The value of this parameter that `value` means, 3.0 for 3; ValueError with the rule it breaks."""
        if self.type == "categorical":
            for choice in self.choices:
                if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                    return choice
            raise ValueError(f"must be one of {shown(list(self.choices))}")
        if isinstance(value, bool) or not isinstance(value, int if self.type == "int" else int | float):
            raise ValueError("must be a whole number" if self.type == "int" else "must be a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be from {self.low} to {self.high}")
        if self.type == "int":
            if (value - self.low) % (self.step or 1):
                raise ValueError(f"is between two steps: low = {self.low}, step = {self.step}")
            return int(value)
        if self.step and abs(float(self.snap(value)) - value) > 1e-9 * self.step:
            raise ValueError(f"is between two steps: low = {self.low}, step = {self.step}")
        return self.snap(float(value))

    def kinds(self) -> Kinds:
        """What it stands for in an expression."""
        return kinds_of(self.choices) if self.type == "categorical" else NUMBER

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

    def admit(self, row: Mapping[str, Any]) -> Point:
        """Some parameters of a point, as the space has them; ValueError naming the one that breaks a rule.

        The others are left to the sampler; a conditional one needs those that its condition names.
        """
        names = [parameter.name for parameter in self.parameters]
        for name in row:
            if name not in names:
                raise ValueError(f"{name}: no such searched parameter{suggestion(name, names)}")
        point: Point = {}
        for parameter in self.parameters:
            if parameter.name not in row:
                continue
            named = f"{parameter.name} = {shown(row[parameter.name])}"
            when = parameter.when
            if when is not None and (missing := sorted(when.names - point.keys() - self.fixed.keys())):
                raise ValueError(f"{named}: exists only when {shown(when.text)}; give {', '.join(missing)} too")
            if not self.active(parameter, point):
                raise ValueError(f"{named}: exists only when {shown(when.text if when else '')}; leave it out")
            try:
                point[parameter.name] = parameter.admit(row[parameter.name])
            except ValueError as error:
                raise ValueError(f"{named}: {error}") from None
        for constraint in self.constraints:
            if constraint.names <= {*point, *self.fixed} and not _holds(constraint, {**self.fixed, **point}):
                raise ValueError(f"{shown(row)}: breaks the constraint {shown(constraint.text)}")
        return point

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


def as_written(value: float) -> Decimal:
    """The number as it is written: ten steps of 0.02 are 0.2, as the user means it and Optuna has it."""
    return Decimal(repr(value))


def _holds(condition: Expression, values: Mapping[str, Value]) -> bool:
    try:
        return bool(condition(values))
    except (KeyError, ArithmeticError):  # it names a parameter this point lacks, or has no value here
        return False
