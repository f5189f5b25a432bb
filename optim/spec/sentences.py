"""What pydantic says about a study file, as a sentence with section, key, value and rule."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from optim.errors import cut, shown
from optim.spec.keys import is_known, unknown, unnamed, wrong_value
from optim.spec.sections import StudySection


def sentence(errors: Sequence[ErrorDetails], study: type[BaseModel]) -> str:
    """One of pydantic's errors as `[section] key = value: rule`: an unknown key rather than the one missed for it."""
    error = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = _place(error)
    head = f"[{place[0]}]" if place else ""
    key = ".".join(place[1:])
    if place[:2] == ["study", "enqueue"] and len(place) > 3 and place[3] in StudySection.model_fields:
        return misplaced(place[3])
    if error["type"] == "missing":
        return f"{head} {key}: missing; add it" if key else f"{head}: the table is missing; add it"
    if error["type"] == "extra_forbidden":
        hint = unknown(place[:-1], place[-1], study)
        return f"{head} {key}: unknown key{hint}" if key else f"unknown table or key {place[0]!r}{hint}"
    if error["type"] in ("model_type", "dict_type") and (inside := unnamed(place, study)):
        return f"[{'.'.join(place[:-1])}] {place[-1]}: stands in no table with a name; write it below {inside}"
    value = "" if isinstance(error["input"], dict) else f" = {shown(error['input'])}"
    if place[0] in ("backtest", "instruments") and (rule := wrong_value(place, error["input"])):
        return f"{_of_rules(place)}{value}: {rule}"
    message = cut(_rule([one for one in errors if _place(one) == place] or [error]))
    if isinstance(error["input"], datetime.date | datetime.time):
        message += ", not a date or time: put it into quotes"
    return f"{head} {key}{value}: {message}" if key else f"{head}: {message}"


_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "model": "a table",
}  # by what the types of pydantic's errors begin with


_FORMS = {
    "children": "'auto', 'all' or 'top:N' with a number",
    "name": "a name without /, \\ and control characters",
}  # of texts, by key
_LENGTH = "a number with y, M, w or d, as '6M'"  # of all other texts that have a form


def _rule(errors: Sequence[ErrorDetails]) -> str:
    """The rule that a value breaks, in the words of a study file; of a union the rules of all its kinds."""
    rules = list(dict.fromkeys(map(_rule_of, errors)))
    return " or ".join([rules[0], *(rule.removeprefix("must be ") for rule in rules[1:])])


def _rule_of(error: ErrorDetails) -> str:
    kind, _, failure = error["type"].partition("_")
    if kind in _WANTED and failure in ("type", "parsing", "from_float", "parsing_size", "attributes_type"):
        return f"must be {_WANTED[kind]}"
    if failure == "pattern_mismatch":
        return f"must be {_FORMS.get(str(_place(error)[-1]), _LENGTH)}"
    return re.sub("^(Input|String|Value|List) should", "must", error["msg"].removeprefix("Value error, "))


def _place(error: ErrorDetails) -> list[str]:
    return [str(part)[:60] for part in error["loc"] if not _is_union_branch(part)]


def broken_rule(place: Sequence[str], value: Any, study: type[BaseModel]) -> str:
    """What is wrong with a key of [backtest] or an instrument's table, as a sentence; empty where nothing is."""
    shown_place = [part[:60] for part in place]
    if not is_known(place, place[-1]):
        return f"{_of_rules(shown_place)}: unknown key{unknown(place[:-1], place[-1], study)}"
    rule = wrong_value(place, value)
    return f"{_of_rules(shown_place)} = {shown(value)}: {rule}" if rule else ""


def _of_rules(place: Sequence[str]) -> str:
    return f"[{'.'.join(place[:-1])}] {place[-1]}"


def misplaced(key: str) -> str:
    """The rule of TOML that surprises everybody once."""
    return (
        f"[study] {key} stands below [[study.enqueue]], and TOML puts it into that table; "
        "move it above [[study.enqueue]]"
    )


def _is_union_branch(part: int | str) -> bool:
    """Pydantic puts the tried type of a union into the place, `list[str]` or `literal[...]`: no key looks like that."""
    return isinstance(part, str) and re.fullmatch(r"(str|int|float|bool|(list|literal|dict)\[.*)", part) is not None
