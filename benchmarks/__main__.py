"""python -m benchmarks [NAME ...] [--page]: run benchmarks, print their figures and one table of them.

Every benchmark's figures go to benchmarks/results/NAME.json, the table to benchmarks/results/table.json; --page puts
it into docs/benchmarks.md. Without a name all are run but those that take hours (LONG).
"""

from __future__ import annotations

import ast
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.table import Row, as_text, machine, rows_of, write_page

HERE = Path(__file__).parent
LONG = ("soak", "verdict")


def names() -> list[str]:
    """The modules here that define main()."""
    found = []
    for path in sorted(HERE.glob("[!_]*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body):
            found.append(path.stem)
    return found


def show(figures: dict[str, Any], indent: str = "  ") -> None:
    """Print nested figures as an indented table."""
    for key, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            show(value, indent + "  ")
        else:
            print(f"{indent}{key:<{52 - len(indent)}} {f'{value:,.4g}' if isinstance(value, float) else value}")


def measure(name: str, *, page: bool) -> list[Row]:
    """Run one benchmark, print and keep its figures; its rows of the table."""
    module, where, started = import_module(f"benchmarks.{name}"), machine(), time.time()
    figures = json.loads(json.dumps(module.main()))  # every key a string, as it is kept
    print(f"{name} ({time.time() - started:.0f} s)")
    show(figures)
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps({"machine": where, "figures": figures}, indent=2) + "\n", encoding="utf-8")
    if page and hasattr(module, "write_page"):  # it has a table of its own
        module.write_page(figures)
    return rows_of(getattr(module, "LINES", ()), figures)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all."""
    chosen = [name for name in arguments if name != "--page"]
    if unknown := [name for name in chosen if name not in names()]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    (HERE / "results").mkdir(exist_ok=True)
    measured: dict[str, Any] = {"machine": machine(), "rows": []}
    page = "--page" in arguments
    rows = [row for name in chosen or [n for n in names() if n not in LONG] for row in measure(name, page=page)]
    measured["rows"] = [row._asdict() for row in rows]
    (HERE / "results" / "table.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(as_text(rows))
    if page and rows:
        write_page(measured, whole=not chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
