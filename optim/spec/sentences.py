"""What pydantic says about a study file, as a sentence with section, key, value and rule."""

from __future__ import annotations

import datetime
import re

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from optim.errors import cut, shown
from optim.spec.expressions import suggestion
from optim.spec.sections import StudySection


def sentence(error: ErrorDetails, study: type[BaseModel]) -> str:
    """One pydantic error as `[section] key = value: rule`."""
    place = [str(part)[:60] for part in error["loc"] if not _is_union_branch(part)]
    head = f"[{place[0]}]" if place else ""
    key = ".".join(place[1:])
    if place[:2] == ["study", "enqueue"] and len(place) > 3 and place[3] in StudySection.model_fields:
        return misplaced(place[3])
    if error["type"] == "missing":
        return f"{head} {key}: missing; add it" if key else f"{head}: the table is missing; add it"
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1], study)
        return f"{head} {key}: unknown key{suggestion(place[-1], known)}" if key else (
            f"unknown table or key {place[0]!r}{suggestion(place[0], known)}"
        )  # fmt: skip
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    message = cut(re.sub("valid dictionary.*", "table", message).replace("valid string", "text"))
    if isinstance(error["input"], datetime.date | datetime.time):
        message += ", not a date or time: put it into quotes"
    value = "" if isinstance(error["input"], dict) else f" = {shown(error['input'])}"
    return f"{head} {key}{value}: {message}" if key else f"{head}: {message}"


def misplaced(key: str) -> str:
    """The rule of TOML that surprises everybody once."""
    return (
        f"[study] {key} stands below [[study.enqueue]], and TOML puts it into that table; "
        "move it above [[study.enqueue]]"
    )


def _is_union_branch(part: int | str) -> bool:
    """Pydantic puts the tried type of a union into the place, `list[str]` or `literal[...]`: no key looks like that."""
    return isinstance(part, str) and re.fullmatch(r"(str|int|float|bool|(list|literal|dict)\[.*)", part) is not None


def _known_keys(place: list[str], study: type[BaseModel]) -> list[str]:
    model = study
    for name in place:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    own = {"path", "text", "overrides", "start", "start_file"} if model is study else set()
    return [name for name in model.model_fields if name not in own]
