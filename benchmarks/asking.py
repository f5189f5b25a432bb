"""How much of the asking time goes into proposals that cannot be tried: they break `fast < slow` or were tried before.

No ask is thrown away, so what is lost is the search for replacements. Two spaces: the one of the moving averages, and
one in which half of all points break the constraint.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import Line
from optim.search.proposals import Proposer
from optim.spec.study import load_spec
from tests.studies import SPACE, write_study

N_TRIALS, BATCH = 480, 8
LINES = (
    Line("a proposal of TPE in batches, 480 trials", "ms", "moving_averages_TPESampler/ms_per_ask"),
    Line("the same, half of the space forbidden", "ms", "half_infeasible_TPESampler/ms_per_ask"),
)
HALF = {
    "constraints": ["fast_window < slow_window"],
    "parameters": {name: {"type": "int", "low": 2, "high": 400} for name in ("fast_window", "slow_window")},
}


def main() -> dict[str, Any]:
    """Milliseconds per ask and the wasted share, by space and sampler."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    figures: dict[str, Any] = {"n_trials": N_TRIALS}
    with tempfile.TemporaryDirectory() as folder:
        ask(Path(folder), SPACE, "TPESampler")  # compiles
    for space_name, space in (("moving_averages", SPACE), ("half_infeasible", HALF)):
        for sampler in ("RandomSampler", "TPESampler"):
            with tempfile.TemporaryDirectory() as folder:
                figures[f"{space_name}_{sampler}"] = ask(Path(folder), space, sampler)
    return figures


def ask(folder: Path, space: dict[str, Any], sampler: str) -> dict[str, float]:
    """Ask and tell in batches; the optimum is a hill well inside the space."""
    import optuna

    spec = load_spec(write_study(folder, study={"sampler": {"name": sampler}}, strategy={"search_space": space}))
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    proposer = Proposer(spec, spec.search_space(), study, storage)
    asking = 0.0
    for batch in range(N_TRIALS // BATCH):
        started = time.perf_counter()
        proposals = [proposal for proposal in proposer.ask(batch, BATCH) if proposal is not None]
        asking += time.perf_counter() - started
        for trial, point in proposals:
            fast, slow = float(point["fast_window"]), float(point["slow_window"])
            study.tell(trial, -((fast - 20) ** 2) / 400 - (slow - 60) ** 2 / 3600)
    return {"ms_per_ask": 1000 * asking / N_TRIALS, "wasted_share": proposer.replacing_seconds / asking}
