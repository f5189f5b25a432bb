"""python -m benchmarks [NAME ...]: run benchmarks, print their figures, write them to benchmarks/results/NAME.json."""

from __future__ import annotations

import ast
import json
import os
import platform
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


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


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, all by default."""
    if unknown := [name for name in arguments if name not in names()]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    for name in arguments or names():
        started = time.time()
        figures = import_module(f"benchmarks.{name}").main()
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
        print(f"{name} ({time.time() - started:.0f} s)")
        show(figures)
        (HERE / "results").mkdir(exist_ok=True)
        path = HERE / "results" / f"{name}.json"
        path.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
