"""What the look-ahead probe of a study found before: the same question about the same strategy is not asked twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.compiled.cache import cache_root
from engine.compiled.jit import config
from optim.problem.plan import Plan
from optim.problem.provenance import versions
from optim.record.files import replace_whole


def place_of(plan: Plan, params: Sequence[Mapping[str, Any]], seconds: float) -> Path:
    """Where the answer is kept: named by all that it depends on.

    params: the probed sets. seconds: how long was looked.
    """
    whole = plan.fingerprint()
    asked = {
        "versions": versions(),
        **{part: whole[part] for part in ("data", "strategy", "code")},
        "holdouts": [cell._asdict() for cell in plan.holdouts],
        "params": list(map(dict, params)),
        "seconds": seconds,
        "interpreted": bool(config.DISABLE_JIT),  # in these seconds far less is compared then
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    return cache_root() / "lookahead" / digest


def recall(place: Path) -> str:
    """The good news that is kept there; empty where there is none."""
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return told if isinstance(told, str) else ""


def keep(place: Path, said: str) -> None:
    """Keep good news there, whole or not at all; where that cannot be, nothing is kept."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_whole(place, lambda handle: handle.write(json.dumps(said).encode()))
