"""The types of a strategy's parameters, and what is accepted for each; what its annotations declare."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from engine.errors import StrategyError


def caster(declared: Any) -> Callable[[Any], Any]:
    """What turns a value into the declared type; it raises ValueError or TypeError saying what the value must be.

    declared: int, float, str, bool or Literal. Raises StrategyError on any other.
    """
    if get_origin(declared) is Literal:
        return lambda value: _one_of(value, get_args(declared))
    if declared in _CASTERS:
        return _CASTERS[declared]
    shown = " | ".join(map(str, get_args(declared))) if get_origin(declared) in (Union, UnionType) else declared
    raise StrategyError(f"a strategy parameter must be int, float, str, bool or Literal, not {shown}")


def _one_of(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
    raise ValueError(f"one of {', '.join(map(repr, choices))}")


def _as_int(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_, str)) or not math.isfinite(value) or int(value) != value:
        raise ValueError("a whole number")
    return int(value)


def _as_float(value: Any) -> float:
    if isinstance(value, (bool, np.bool_, str)) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def _as_bool(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError("true or false")
    return bool(value)


def _as_str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return str(value)


_CASTERS: dict[Any, Callable[[Any], Any]] = {int: _as_int, float: _as_float, bool: _as_bool, str: _as_str}


def hints(annotated: Any) -> dict[str, Any]:
    """The annotations of a function or class, resolved; StrategyError where one cannot be."""
    try:
        return get_type_hints(annotated)
    except (NameError, TypeError) as error:  # pd.Series[float] is none while a program runs
        raise StrategyError(f"{annotated.__name__}: a type annotation cannot be resolved: {error}") from None


def params_class(signal: Callable[..., Any]) -> Any:
    """The class of the second parameter when it is annotated with a NamedTuple."""
    code = getattr(signal, "__code__", None)
    if code is None or code.co_argcount < 2:
        return None
    declared = hints(signal).get(code.co_varnames[1])
    return declared if hasattr(declared, "_fields") else None


def n_instruments(signal: Callable[..., Any]) -> int:
    """2 for a first parameter annotated tuple[Bars, Bars], 0 for tuple[Bars, ...], else 1."""
    code = getattr(signal, "__code__", None)
    declared = hints(signal).get(code.co_varnames[0]) if code is not None and code.co_argcount > 0 else None
    if get_origin(declared) is not tuple:
        return 1
    parts = get_args(declared)
    return 0 if Ellipsis in parts else len(parts)
