"""Strategies: one function each, found by name or by file.py:function."""

from __future__ import annotations

import copy
import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.arrays import Array, Sides
from engine.compiled.jit import kernel
from engine.data.bars import Bars, plain_bars, without_detail
from engine.data.calendar import BAR, is_marked, mark_of, on_calendar, own_bars
from engine.data.load import to_frame
from engine.errors import ParameterError, StrategyError
from engine.simulator.account import SEARCHABLE
from engine.strategies.levels import Answer, as_answer, of_shape, refuse_entries, side_by_side, without_levels
from engine.strategies.modules import module_of
from engine.strategies.neighbours import forget_edited
from engine.strategies.parameters import caster, hints, n_instruments, params_class
from engine.strategies.raised import ask

if TYPE_CHECKING:
    import pandas as pd

_BUILT_IN = Path(__file__).parent / "built_in"


class Strategy:
    """A strategy: parameters in, target exposure out.

    name: the function's. reference: what load_strategy finds it by, in any process. params: the NamedTuple class of its
    parameters; None for a plain callable that declares none. compiled: True for @strategy, whose work happens in
    kernels without the interpreter lock; False for a plain callable on a DataFrame. joint: it takes a tuple of Bars and
    returns weights of shape (n_bars, k), so it needs a portfolio; of n_instruments, 0 for any number.
    """

    def __init__(self, signal: Callable[..., Any], *, compiled: bool) -> None:
        self.signal = signal
        self.compiled = compiled
        self.name: str = getattr(signal, "__name__", type(signal).__name__)
        self.reference = _reference(signal)
        self.params = params_class(signal)
        self.n_instruments = n_instruments(signal)
        self.joint = self.n_instruments != 1
        self.zone = "UTC"
        self._built_in = compiled and str(getattr(signal, "__module__", "")).startswith("engine.strategies.")
        declared = {} if self.params is None else hints(self.params)
        self.casts = {name: caster(one) for name, one in declared.items()}
        self._required = {name for name in self.casts if name not in self.params._field_defaults}
        self.ruled = hasattr(self.params, "rules")
        self.many: Callable[[Bars, Any], Array | Sides] | None = None
        self.kinds = [{int: np.int64, float: np.float64}.get(one) for one in declared.values()]  # of arrays of many
        self.__doc__ = signal.__doc__

    def __repr__(self) -> str:
        return f"Strategy({self.reference!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_zone, (self.reference, self.zone)

    def in_zone(self, zone: str) -> Strategy:
        """The same, a plain callable called with frames in this time zone; a compiled one sees no clock."""
        if self.compiled or zone == self.zone:
            return self
        found = copy.copy(self)
        found.zone = zone
        return found

    def for_many(self, function: Callable[[Bars, Any], Array | Sides]) -> Callable[[Bars, Any], Array | Sides]:
        """Give it a second form, `function(bars, p) -> targets` of shape (k, n_bars) for k parameter sets at once.

        p: Params with an array of shape (k,) where it declares int or float; the rest is alike in all k. targets: row i
        is what the strategy says of set i, bit for bit (engine.check); float64, or int8 for sides. A sweep uses it.
        Raises StrategyError for a strategy of several instruments, or without a number in its Params.
        """
        if self.joint or not any(self.kinds):
            raise StrategyError(
                f"{self.name} has no form for many parameter sets: it trades several instruments, or no int or float "
                "of its Params differs between them"
            )
        self.many = function
        return function

    def bind(self, mapping: Mapping[str, Any]) -> Any:
        """Cast to the declared types and check; returns the params NamedTuple (a dict if the strategy declares none).

        Raises ParameterError naming strategy, parameter, value and rule.
        """
        if self.params is None:
            return dict(mapping)
        casts = self.casts
        try:
            values = {name: casts[name](value) for name, value in mapping.items()}
        except (KeyError, TypeError, ValueError, OverflowError):
            self._refuse(mapping)
            raise
        if not values.keys() >= self._required:
            missing = [name for name in casts if name in self._required - values.keys()]
            raise ParameterError(f"{self.name}: missing parameter {', '.join(missing)}")
        params = self.params(**values)
        for held, rule in params.rules() if self.ruled else ():
            if not held:
                shown = ", ".join(f"{name} = {value!r}" for name, value in params._asdict().items() if name in rule)
                raise ParameterError(f"{self.name}: {shown} breaks the rule {rule}")
        return params

    def _refuse(self, mapping: Mapping[str, Any]) -> None:
        """ParameterError naming the first value that cannot be bound."""
        for name, value in mapping.items():
            cast = self.casts.get(name)
            if cast is None:
                near = get_close_matches(name, (*self.casts, *SEARCHABLE), n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.casts) or 'none'}"
                raise ParameterError(f"{self.name} has no parameter {name}; {hint}")
            try:
                cast(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise ParameterError(f"{self.name}: {name} = {value!r} must be {error}") from None

    def warmup_bars(self, params: Any) -> int:
        """How many bars before the first traded one the signal needs; all there are, unless params declares fewer."""
        return int(params.warmup_bars()) if hasattr(params, "warmup_bars") else sys.maxsize

    def target(self, bars: Bars, params: Any) -> Array:
        """The target exposure, shape (n_bars,), float64; raises StrategyError naming the bar where it is unusable."""
        target = self.answer(bars, params).target
        self.refuse_unusable(target)
        return target

    def answer(self, bars: Bars, params: Any) -> Answer:
        """Target and levels, of the right shape and type; the target's values are not looked at yet."""
        if self.joint:
            raise StrategyError(f"{self.name} trades several instruments together: set portfolio = true")
        shape = (len(bars.close),)
        if self.compiled:
            return as_answer(self.name, ask(self, self.seen(bars), params), partial(of_shape, self.name, shape))
        frame = self.frame_of(bars)
        index = frame.index  # before the function may change it

        def shaped(field: str, one: Any) -> Array:
            returned = getattr(one, "index", None)
            if isinstance(returned, type(index)) and not returned.equals(index):
                raise StrategyError(f"{self.name} returned {field} as a Series that is not indexed like the bars")
            return of_shape(self.name, shape, field, one)

        return as_answer(
            self.name, ask(self, frame, params._asdict() if hasattr(params, "_asdict") else params), shaped
        )

    def frame_of(self, bars: Bars) -> pd.DataFrame:
        """What a plain callable is called with."""
        return to_frame(bars, self.zone)

    def weights(self, instruments: tuple[Bars, ...], params: Any) -> Array:
        """Target weights of all instruments, shape (n_bars, k); raises StrategyError where one is unusable."""
        return self.answer_all(instruments, params).target

    def answer_all(self, instruments: tuple[Bars, ...], params: Any) -> Answer:
        """Weights and levels of instruments that share an account; a strategy for one gives each 1 / k of its target.

        Raises StrategyError where a weight is unusable, or for an entry order.
        """
        shape = (len(instruments[0].close), len(instruments))
        if self.n_instruments not in (0, 1, len(instruments)):
            raise StrategyError(f"{self.name} trades {self.n_instruments} instruments, but got {len(instruments)}")
        if self.joint:
            given = ask(self, tuple(map(self.seen, instruments)), params)
            weights, moving = as_answer(self.name, given, partial(of_shape, self.name, shape))
            if any(map(is_marked, instruments)) and np.isnan(weights).any():
                absent = np.stack([mark_of(bars) != BAR for bars in instruments], axis=1)
                weights = np.where(absent & np.isnan(weights), 0.0, weights)
            self.refuse_unusable(weights)
        else:
            targets, moving = side_by_side(self._answers(instruments, params))
            weights = targets / len(instruments)
        refuse_entries(self.name, moving)
        return Answer(weights, moving)

    def _answers(self, instruments: tuple[Bars, ...], params: Any) -> list[Answer]:
        return [self.alone(bars, params) for bars in instruments]

    def alone(self, bars: Bars, params: Any) -> Answer:
        """The answer of one instrument of a portfolio, found on the bars it has; where it has none the last stands."""
        own = own_bars(bars)
        if len(own.close) < 2 and is_marked(bars):
            return without_levels(np.zeros(len(bars.close)))
        target, moving = self.answer(own, params)
        self.refuse_unusable(target)
        if moving.size and is_marked(bars):
            moving = np.array([on_calendar(row, bars, np.nan) for row in moving])
        return Answer(on_calendar(target, bars), moving)

    def seen(self, bars: Bars) -> Bars:
        """The bars as a compiled strategy sees them: a built-in one knows of no features, and is compiled once."""
        return plain_bars(bars) if self._built_in else without_detail(bars)

    def refuse_unusable(self, target: Array) -> None:
        """StrategyError naming the first bar whose target is NaN or outside [-1, 1]."""
        if (first := first_unusable(target.reshape(-1))) >= 0:
            bar = first * len(target) // target.size
            raise StrategyError(f"{self.name}: target at bar {bar} is {target.flat[first]}, must be in [-1, 1]")


@kernel
def first_unusable(target: Array) -> int:
    """The first bar whose target is NaN or outside [-1, 1]; -1 when there is none."""
    n_usable = 0
    for t in range(len(target)):  # counting needs no branch, so it goes several bars at a time
        n_usable += abs(target[t]) <= 1.0
    if n_usable == len(target):
        return -1
    t = 0
    while abs(target[t]) <= 1.0:
        t += 1
    return t


def strategy(function: Callable[..., Any]) -> Strategy:
    """Make a strategy of `function(bars: Bars, p: Params) -> target`, whose loops are @kernel functions.

    Params is a NamedTuple of int, float, str, bool or Literal fields. It may have two methods: warmup_bars() -> int,
    and rules() -> a tuple of (held, rule as text).
    """
    return Strategy(function, compiled=True)


def builtin_names() -> tuple[str, ...]:
    """The built-in strategies, one per file of engine/strategies/built_in."""
    return tuple(sorted(path.stem for path in _BUILT_IN.glob("*.py") if path.stem != "__init__"))


def load_strategy(reference: str, base: Path = Path()) -> Strategy:
    """Find a strategy: a built-in name, or "file.py:function" with the file relative to `base`.

    Raises StrategyError. A file is read again when its content has changed.
    """
    if ":" not in reference:
        return _built_in(reference)
    file, _, function = reference.rpartition(":")
    path = (base / file).resolve()
    try:
        content = path.read_bytes()
    except OSError:
        raise StrategyError(f"no such file: {path}") from None
    reached = forget_edited(path)
    return _from_file(str(path), function, hashlib.sha256(content + reached.encode()).hexdigest()[:16])


def _in_zone(reference: str, zone: str) -> Strategy:
    return load_strategy(reference).in_zone(zone)


@lru_cache(maxsize=256)
def _built_in(name: str) -> Strategy:
    if name not in builtin_names():
        near = get_close_matches(name, builtin_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(builtin_names())}."
        own = f"{name}:function" if name.endswith(".py") else "file.py:function"
        raise StrategyError(f"unknown strategy {name!r}; {hint} Your own: {own}")
    found = getattr(importlib.import_module(f"engine.strategies.built_in.{name}"), name)
    assert isinstance(found, Strategy)
    return found


@lru_cache(maxsize=256)
def _from_file(path: str, function: str, content: str) -> Strategy:
    module = module_of(path, content)
    found = getattr(module, function, None)
    if isinstance(found, Strategy):
        return found
    if not callable(found):
        there = [name for name, one in vars(module).items() if name[0] != "_" and _is_own(one, module)]
        near = get_close_matches(function, there, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise StrategyError(f"{path} has no function {function}{hint}; it has {', '.join(there) or 'none'}")
    return Strategy(found, compiled=False)


def _is_own(one: Any, module: ModuleType) -> bool:
    """Whether it is a strategy, or a function that is written in this module."""
    return isinstance(one, (Strategy, FunctionType)) and getattr(one, "signal", one).__module__ == module.__name__


def _reference(signal: Callable[..., Any]) -> str:
    module = sys.modules.get(getattr(signal, "__module__", ""))
    name = getattr(signal, "__name__", "")
    file = getattr(module, "__file__", None)
    if file is None:
        return f"<{name}>"
    path = Path(file).resolve()
    return name if path.parent == _BUILT_IN else f"{path}:{name}"
