"""Every table of a study file with its keys, and what somebody meant who wrote another one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from engine.simulator.account import ALIASES, Account
from optim.spec.expressions import suggestion

Place = tuple[str, ...]  # ("data", "features", "vix")
OWN_KEYS = ("path", "text", "overrides", "start", "start_file")  # of a StudySpec, not of a file
_NAME = "NAME"  # stands for a name of the user's own
_RULES: dict[str, Any] = {**Account()._asdict(), "portfolio": False}
_FREE: dict[Place, dict[str, Any]] = {  # tables that are no models: their keys with a value each
    ("backtest",): _RULES,
    ("instruments", _NAME): {**_RULES, "currency": "EUR"},
}
_ALIKE = 0.75  # a key of another table must be so much like what was written


def unknown(place: Sequence[str], key: str, study: type[BaseModel]) -> str:
    """What to say behind `unknown key` of the table at `place`: another table that has it, or a key that is near."""
    tables = dict(_tables(study, ()))
    here = _named(place, tables)
    known, aliases = tables.get(here, ()), ALIASES if here in _FREE else {}
    if key.lower() not in aliases and (there := _nearest(here, [p for p in tables if p != here and key in tables[p]])):
        return f"; it is a key of [{'.'.join(there)}]"
    if key.lower() in aliases or _like(key, known, 0.6):
        return suggestion(key, known, aliases)
    others = {one for keys in tables.values() for one in keys}
    for near in _like(key, others - set(known), _ALIKE):
        there = _nearest(here, [p for p in tables if near in tables[p]])
        return f"; did you mean {near!r} of [{'.'.join(there)}]?"
    return suggestion(key, known)


def wrong_value(place: Sequence[str], value: Any) -> str:
    """What an account rule or an instrument's key must be, where this value is of another type; else empty."""
    known = _FREE.get(("backtest",) if place[0] == "backtest" else ("instruments", _NAME), {})
    if place[-1] not in known:
        return ""
    default = known[place[-1]]
    if isinstance(default, bool | str):
        wanted = "true or false" if isinstance(default, bool) else f"a text such as {default!r}"
        return "" if isinstance(value, type(default)) else f"must be {wanted}"
    return "" if isinstance(value, int | float) and not isinstance(value, bool) else "must be a number"


def is_known(place: Sequence[str], key: str) -> bool:
    """Whether a table of account rules, [backtest] or that of an instrument, has this key."""
    return key in _FREE[("backtest",) if place[0] == "backtest" else ("instruments", _NAME)]


def unnamed(place: Sequence[str], study: type[BaseModel]) -> str:
    """`[data.features.NAME]` where a key at `place` stands in [data.features] itself; else empty."""
    tables = dict(_tables(study, ()))
    inside = (*place[:-1], _NAME)
    return f"[{'.'.join(inside)}]" if place[-1] in tables.get(inside, ()) and tuple(place) not in tables else ""


def _tables(model: type[BaseModel], place: Place) -> Iterator[tuple[Place, Collection[str]]]:
    """Every table that has a fixed set of keys."""
    yield place, [name for name in model.model_fields if place or name not in OWN_KEYS]
    for name, field in model.model_fields.items():
        if (*place, name) in _FREE or (*place, name, _NAME) in _FREE:
            continue
        for kind, named in _models(field.annotation):
            if kind.model_config.get("extra") == "forbid":
                yield from _tables(kind, (*place, name, *((_NAME,) if named else ())))
    if not place:
        yield from _FREE.items()


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models that an annotation allows, and whether each stands in a table below a name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, False
        return
    named = getattr(annotation, "__origin__", None) is dict
    for part in get_args(annotation):
        yield from ((kind, named) for kind, _ in _models(part))


def _named(place: Sequence[str], tables: Collection[Place]) -> Place:
    """The table's place with NAME where a name of the user's own stands."""
    return next((one for one in tables if len(one) == len(place) and _shared(one, place) == len(place)), tuple(place))


def _nearest(here: Place, places: Sequence[Place]) -> Place:
    """The place that shares most with `here`, the shortest of those; () where there is none."""
    return min(places, key=lambda one: (-_shared(one, here), len(one)), default=())


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two places begin with together."""
    alike = [mine in (theirs, _NAME) for mine, theirs in zip(one, other, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _like(key: str, known: Collection[str], least: float) -> list[str]:
    return difflib.get_close_matches(key[:200], list(known), n=1, cutoff=least)
