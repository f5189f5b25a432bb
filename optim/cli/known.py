"""`optim strategies`, `optim metrics`, `optim schema`: what a study can name."""

from __future__ import annotations

import json

from optim.report import known
from optim.report.screen import Screen


def strategies(as_object: bool) -> int:
    """Print the built-in strategies."""
    if as_object:
        print(json.dumps(known.strategies(), allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        known.print_strategies(Screen())
    return 0


def metrics(as_object: bool) -> int:
    """Print the metrics."""
    if as_object:
        print(json.dumps(known.metrics(), allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        known.print_metrics_known(Screen())
    return 0


def schema() -> int:
    """Print the JSON Schema of a study file."""
    from optim.spec.schema import FILE

    print(FILE.read_text(encoding="utf-8"), end="")  # noqa: T201 - for a file
    return 0
