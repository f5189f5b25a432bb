"""What compiling a function takes over as it is at that moment: the constants and the kernels that it names."""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from collections.abc import Callable, Iterator
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np


def frozen_in(function: Callable[..., object], ends: Callable[[FunctionType], bool]) -> str:
    """SHA-256 (hex) of its code and of all that it names from outside: values, kernels, what these name, and so on.

    A number, a text, a tuple or an array counts with its value, an attribute of a module as if it were named itself,
    a class by its fields or members. ends: for which kernels their name is enough.
    """
    digest = hashlib.sha256()
    waiting, seen = [_function_of(function)], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if ends(one):
            digest.update(f"{one.__module__}.{one.__qualname__}".encode())
            continue
        digest.update(marshal.dumps(_plain(one.__code__), 0))  # version 0: the same bytes for the same code
        digest.update(f"{_said(one.__defaults__)} {_said(tuple((one.__kwdefaults__ or {}).items()))}".encode())
        for name, value in _named(one):
            digest.update(f"{name} {_said(value)}\n".encode())
            waiting += map(_function_of, _flat(value))
    return digest.hexdigest()


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _function_of(value: object) -> FunctionType | None:
    """The function behind a kernel, or behind what numba extends itself with."""
    inner = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    return inner if isinstance(inner, FunctionType) else None


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """By name, those that are there by now; an attribute's name is asked of every module that is named, once each."""
    names, seen = sorted(_names(function.__code__)), set()
    waiting = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # empty yet
            waiting.append((name, cell.cell_contents))
    while waiting:
        name, value = waiting.pop(0)
        yield name, value
        if isinstance(value, ModuleType) and value not in seen:
            seen.add(value)
            waiting += [(f"{name}.{inner}", vars(value)[inner]) for inner in names if inner in vars(value)]


def _plain(code: CodeType) -> CodeType:
    """Without where it stands."""
    consts = tuple(_plain(const) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=consts)


def _names(code: CodeType) -> set[str]:
    inside = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*inside)


def _said(value: object) -> str:
    """The same for what compiles to the same; by its kind where it has no value."""
    if isinstance(value, tuple) and type(value) is not tuple:
        return f"{type(value).__qualname__}{_said(tuple(value))}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_said, value))})"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (int, float, complex, str, bytes, np.generic, Enum, type(None))):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, type):
        inside = [repr(member) for member in value] if issubclass(value, Enum) else getattr(value, "_fields", ())
        return f"{value.__module__}.{value.__qualname__} {inside}"
    if isinstance(value, (slice, range, np.dtype)) or type(value).__module__.startswith("numba.core.types"):
        return repr(value)
    return f"{type(value).__name__} {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
