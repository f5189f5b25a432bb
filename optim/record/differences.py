"""Where two fingerprints of a study differ, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Where two fingerprints differ, as `[section] key was 1, is 2`."""
    return _differences(json.loads(json.dumps(then)), json.loads(json.dumps(now)), "")


def _differences(then: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            inner = f"[{key}]" if not place else f"{place} {key}" if place.endswith("]") else f"{place}.{key}"
            yield from _differences(then.get(key), now.get(key), inner)
    elif isinstance(then, list) and isinstance(now, list) and any(map(_is_digest, then)) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True), start=1):
            yield from _differences(one, other, f"{place} of file {number}")
    elif then != now:
        if _is_digest(then) and _is_digest(now):
            yield f"{place} has changed"
        elif _is_digest(then) or _is_digest(now):
            yield f"{place} is {'used no more' if now is None else 'used now, and was not'}"
        else:
            yield f"{place} was {_short(then)}, is {_short(now)}"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _short(value: Any) -> str:
    """A value of a fingerprint as a sentence can hold it."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
