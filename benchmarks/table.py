"""One table of what was measured: ours, the peer's or the limit, the ratio; and the page that shows it.

A benchmark says its rows as LINES: where its figures are, and what they are compared with.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "docs" / "benchmarks.json"
START, END = "<!-- measured -->", "<!-- end -->"
PACKAGES = ("numpy", "numba", "pandas", "optuna", "mlflow", "vectorbt", "backtesting")


class Line(NamedTuple):
    """One figure of a benchmark and what stands beside it; figures are named by their path, `a/b`."""

    what: str
    unit: str
    ours: str
    other: str = ""  # what it is compared with
    theirs: str = ""


class Row(NamedTuple):
    """A line with its numbers."""

    what: str
    unit: str
    ours: float
    other: str
    theirs: float | None

    @property
    def ratio(self) -> float | None:
        """How many times ours fits into theirs."""
        return None if self.theirs is None else self.theirs / self.ours


def rows_of(lines: Iterable[Line], figures: Mapping[str, Any]) -> list[Row]:
    """The lines with their numbers; those whose figures are missing (a peer that is not installed) are left out."""
    found = []
    for line in lines:
        ours, theirs = _at(figures, line.ours), _at(figures, line.theirs) if line.theirs else None
        if ours is not None and (theirs is not None or not line.theirs):
            found.append(Row(line.what, line.unit, ours, line.other, theirs))
    return found


def _at(figures: Any, path: str) -> float | None:
    for name in path.split("/"):
        if not isinstance(figures, Mapping) or name not in figures:
            return None
        figures = figures[name]
    return float(figures)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def as_text(rows: Iterable[Row]) -> str:
    """The table as Markdown, which is what the terminal shows too."""
    lines = ["| what | unit | ours | compared with | theirs | theirs / ours |", "|---|---|---|---|---|---|"]
    for row in rows:
        theirs, ratio = ("" if value is None else f"{value:.3g}" for value in (row.theirs, row.ratio))
        lines.append(f"| {row.what} | {row.unit} | {row.ours:.3g} | {row.other} | {theirs} | {ratio} |")
    return "\n".join(lines)


def write_page(measured: Mapping[str, Any], *, whole: bool) -> None:
    """Keep what was measured beside the page, and put its table between the page's marks.

    whole: every benchmark was run; otherwise the rows of the others stay as they are, and new ones come last.
    """
    if not whole and KEPT.is_file():
        before = json.loads(KEPT.read_text(encoding="utf-8"))["rows"]
        new = {_key(row): row for row in measured["rows"]}
        kept = [new.pop(_key(row), row) for row in before]
        measured = {**measured, "rows": [*kept, *new.values()]}
    KEPT.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), START, END, block(measured)), encoding="utf-8")


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["what"], row["other"]


def between(page: str, start: str, end: str, text: str) -> str:
    """The page with this text between two marks."""
    head, _, rest = page.partition(start)
    return f"{head}{start}\n{text}\n{end}{rest.partition(end)[2]}"


def block(measured: Mapping[str, Any]) -> str:
    """The table, and where it was measured."""
    where, rows = measured["machine"], [Row(**row) for row in measured["rows"]]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"{as_text(rows)}\n\n{where['processor']}, {where['cores']} cores, load {where['load_before']} before; "
        f"{where['system']},\nPython {where['python']}, {versions}."
    )
