"""A TOML file as a dictionary, or one sentence about what is wrong with it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optim.errors import SpecError, cut, shown


def read_toml(path: Path, where: str = "") -> dict[str, Any]:
    """The TOML file as a dictionary; SpecError when it is missing, no TOML or holds what nothing here can use."""
    prefix = f"{where}: " if where else ""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise SpecError(f"{prefix}no such file: {_short(path)}") from None
    except OSError as error:
        raise SpecError(f"{prefix}{_short(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{prefix}{path} is no UTF-8 text: byte {error.start} is {error.object[error.start]}") from None
    except RecursionError:
        raise SpecError(f"{prefix}{path}: not valid TOML: nested too deep") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own about numbers of thousands of digits
        raise SpecError(f"{prefix}{path}: not valid TOML: {cut(str(error))}") from None
    for place, value in _leaves(table, ()):
        if rule := _unusable(value):
            at = ".".join(part[:60] for part in place[1:])
            raise SpecError(f"{prefix}{path}: [{place[0][:60]}] {cut(at)} = {shown(value)}: {rule}")
    return table


def _leaves(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every single value of a TOML table and every key, with where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key), key
            yield from _leaves(inner, (*place, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, place)
    else:
        yield place, value


def _unusable(value: Any) -> str:
    """The rule that a value breaks wherever it stands; empty if none."""
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "is no 64-bit whole number, the largest kind that TOML has"
    if isinstance(value, str) and "\x00" in value:
        return "may not contain the character NUL"
    return ""


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else shown(text)
