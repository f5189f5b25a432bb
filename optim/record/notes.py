"""What is kept beside a study's trials: plain data under a name, long ones in parts, as a database's text column holds
64 KB on MySQL and MariaDB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

PART = 15_000  # characters, at most four bytes each
_PARTS = "optim:parts"  # in the place of a long value: the names of its parts


def parts_of(name: str, value: Any, before: Any) -> Iterator[tuple[str, Any]]:
    """What to write, in this order, to keep `value` under `name`: at no moment is it neither the old nor the new one.

    before: what stands under the name now. Parts that are used no more are emptied.
    """
    text = json.dumps(value)
    if len(text) <= PART:
        yield name, value
        names = []
    else:
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        pieces = [text[start : start + PART] for start in range(0, len(text), PART)]
        names = [f"{name}:{digest}:{i}" for i in range(len(pieces))]
        yield from zip(names, pieces, strict=True)
        yield name, {_PARTS: names}
    yield from ((old, "") for old in _names(before) if old not in names)


def whole(attributes: Mapping[str, Any], name: str) -> Any:
    """The value under a name, from a study's system attributes; None if there is none."""
    kept = attributes.get(name)
    names = _names(kept)
    return json.loads("".join(attributes[part] for part in names)) if names else kept


def _names(kept: Any) -> list[str]:
    return list(kept[_PARTS]) if isinstance(kept, dict) and _PARTS in kept else []
