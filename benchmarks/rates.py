"""How often each method was wrong, and how often it found what was there, as the table of docs/benchmarks.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from benchmarks.table import PAGE, ROOT, between

KEPT = ROOT / "docs" / "verdicts.json"
START, END = "<!-- verdicts -->", "<!-- end of verdicts -->"
METHODS = {  # in the order of the columns: what a row of benchmarks.verdict calls it, and its heading
    "verdict strong": "verdict `strong`",
    "deflated Sharpe ratio": "DSR > .95",
    "overfitting": "PBO <= .05",
    "Romano-Wolf, cash": "Romano-Wolf, cash",
    "Romano-Wolf, buy and hold": "Romano-Wolf, holding",
    "tokio-ai": "tokio-ai",
    "trialgate": "trialgate",
    "quant-harness": "quant-harness",
    "alphaengine": "alphaengine",
    "PSR, uncorrected": "PSR, nothing corrected",
}
Counts = Mapping[
    str, Mapping[str, Mapping[str, int]]
]  # by search and world: studies, and how often each method said so


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float, float]:
    """A share and its 95 % interval."""
    share, slack = count / n, z * z / n
    middle = (share + slack / 2) / (1 + slack)
    half = z * math.sqrt(share * (1 - share) / n + slack / (4 * n)) / (1 + slack)
    return share, max(middle - half, 0.0), min(middle + half, 1.0)


def as_text(counts: Counts) -> str:
    """A row for each search and world; the verdict with its interval."""
    found = {name for worlds in counts.values() for row in worlds.values() for name in row}
    shown = [name for name in METHODS if name in found]
    lines = [
        f"| search | market | studies | {' | '.join(METHODS[name] for name in shown)} |",
        "|---" * (3 + len(shown)) + "|",
    ]
    for search, worlds in counts.items():
        for world, row in worlds.items():
            cells = [_cell(name, row) for name in shown]
            lines.append(f"| {search} | {world} | {row['studies']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, row: Mapping[str, int]) -> str:
    if name not in row:
        return ""
    share, low, high = (f"{value:.2f}".lstrip("0") or "0" for value in wilson(row[name], row["studies"]))
    return f"{share} ({low} to {high})" if name == "verdict strong" else share


def write_page(counts: Counts) -> None:
    """Put these rows into the table, in the place of those of the same search and world."""
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    for search, worlds in counts.items():
        kept[search] = {**kept.get(search, {}), **worlds}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), START, END, as_text(kept)), encoding="utf-8")
