"""MLflow's limits, kept before it can complain: what does not fit goes in full into a JSON artifact.

Keys: letters, digits, `_ - . : /` and space, 250 characters, and a normalised relative path (MLflow 3,
`mlflow.utils.validation`). Parameter values 6,000 characters, tag values 8,000.
"""

from __future__ import annotations

import functools
import hashlib
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000
FULL_VALUES = "config/full_values.json"  # the artifact
_REFUSED = re.compile(r"[^/\w.\- :]")
_NOTE = f" ... [shortened; in full in {FULL_VALUES}]"


class Fitted(NamedTuple):
    """Entries MLflow accepts, and those that had to be changed: {original key: full value}."""

    entries: dict[str, Any]
    changed: dict[str, Any]


@functools.lru_cache(maxsize=4096)
def fit_key(key: str) -> str:
    """`key` as MLflow accepts it: unchanged if it can be."""
    fitted = _REFUSED.sub("_", key)
    fitted = posixpath.normpath(fitted).lstrip("/") if fitted else "_"
    if fitted == "." or fitted.startswith(".."):
        fitted = "_" + fitted.lstrip(".")
    if len(fitted) > MAX_KEY:
        fitted = f"{fitted[: MAX_KEY - 9]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return fitted


def fit_text(values: Mapping[str, Any], limit: int) -> Fitted:
    """Keys and values as parameters (`limit` MAX_PARAM) or tags (MAX_TAG)."""
    entries: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for key, name in _names(values).items():
        text = _text(values[key])
        entries[name] = text if len(text) <= limit else text[: limit - len(_NOTE)] + _NOTE
        if name != key or len(text) > limit:
            changed[key] = text
    return Fitted(entries, changed)


def fit_metrics(values: Mapping[str, Any]) -> Fitted:
    """Keys and floats as metrics. NaN and infinity (the largest float, in a database) stay and are noted."""
    entries: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for key, name in _names(values).items():
        number = float(values[key])
        entries[name] = number
        if not math.isfinite(number):
            changed[key] = repr(number)
        elif name != key:
            changed[key] = number
    return Fitted(entries, changed)


def _names(keys: Iterable[str]) -> dict[str, str]:
    """Each key's name in MLflow, all different; a key that MLflow accepts keeps its own."""
    names = {key: key for key in keys if fit_key(key) == key}
    taken = set(names)
    for key in keys:
        if key not in names:
            names[key] = _unused(fit_key(key), taken)
            taken.add(names[key])
    return names


def _unused(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name[: MAX_KEY - 4]}_{number}", number + 1
    return free


def _text(value: Any) -> str:
    item = getattr(value, "item", None)  # numpy scalars: "1.5", not "np.float64(1.5)"
    return str(item() if callable(item) and getattr(value, "ndim", None) == 0 else value)
