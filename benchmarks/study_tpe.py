"""What a search costs that grows: the example's study with ever more trials, pruner and record and all, without
MLflow; with the compiled TPE and with Optuna's own, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.study_loop import timed
from benchmarks.table import Line
from optim.search import tpe

EXAMPLE = Path(__file__).parents[1] / "studies" / "ma_crossover_ibm.toml"
TRIALS = (1000, 2000, 4000)
LINES = tuple(
    Line(
        f"the search of the example, {n:,} trials", "s", f"compiled_seconds/{n}", "Optuna's TPE", f"optuna_seconds/{n}"
    )
    for n in TRIALS
)


def main() -> dict[str, Any]:
    """Seconds of searches of so many trials, from the first proposal to the last entry in the record."""
    searched(100)  # compiles
    ours = {n: searched(n) for n in TRIALS}
    with patch.object(tpe, "covers", return_value=False):
        theirs = {n: searched(n) for n in TRIALS}
    return {"compiled_seconds": ours, "optuna_seconds": theirs, "times": {n: theirs[n] / ours[n] for n in TRIALS}}


def searched(n_trials: int) -> float:
    """Seconds of one search, in this process."""
    from optim.api import Study
    from optim.search.loop import Search
    from optim.spec.study import load_spec

    with tempfile.TemporaryDirectory() as folder, timed(Search, "run") as spent:
        storage = f"{folder}/optuna.journal"
        given = {
            "study": {"n_trials": n_trials, "storage": storage},
            "tracking": {"enabled": False},
            "validation": {"quick": 0},
        }
        Study(load_spec(EXAMPLE, given)).run()
    return spent[0]
