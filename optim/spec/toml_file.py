"""A TOML file as a dictionary, and back, or one sentence about what is wrong with it."""

from __future__ import annotations

import datetime
import math
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
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
            raise SpecError(f"{prefix}{path}: {_named(place)} = {shown(value)}: {rule}")
    return table


def write_toml(table: Any, where: str) -> str:
    """The text of a TOML file of tables from Python; SpecError naming the first value that has no place in one."""
    import tomli_w

    if not isinstance(table, Mapping):
        raise SpecError(f"{where}: {_kind(table)} must be a dictionary of a study file's tables")
    for place, value in _leaves(table, ()):
        if rule := _foreign(place, value):
            raise SpecError(f"{where}: {_named(place)} is {_kind(value)}: {rule}")
        if rule := _unusable(value):
            raise SpecError(f"{where}: {_named(place)} = {shown(value)}: {rule}")
    try:
        return tomli_w.dumps(table)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{where}: a study's tables hold what TOML can: {cut(str(error))}") from None


def _foreign(place: tuple[str, ...], value: Any) -> str:
    """What to give in the place of a value that a study file cannot hold; empty where it can."""
    if isinstance(value, str | bool | int | float | Decimal | datetime.date | datetime.time):
        return ""
    if value is None:
        return "leave the key away, its default holds then"
    if hasattr(value, "to_csv") and hasattr(value, "columns"):
        return "a study reads files: write it to one, frame.to_csv('bars.csv'), and give [data] path = 'bars.csv'"
    if isinstance(value, Path):
        return "give its text, str(path)"
    if place[:2] == ("strategy", "name") and callable(value):
        return "give a function as Study.from_dict(..., strategy=function), or its reference 'file.py:function'"
    if getattr(value, "ndim", None) == 0:
        return "give a number of Python's, value.item()"
    if hasattr(value, "tolist"):
        return "give a list of Python's, value.tolist()"
    return "must be a text, a number, true or false, a date, or a list or dictionary of these"


def _named(place: tuple[str, ...]) -> str:
    return f"[{place[0][:60]}] {cut('.'.join(part[:60] for part in place[1:]))}".rstrip()


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _leaves(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every single value of a TOML table and every key, with where it stands."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            at = (*place, str(key))
            yield at, key
            yield from _leaves(inner, at)
    elif isinstance(value, list | tuple):
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
