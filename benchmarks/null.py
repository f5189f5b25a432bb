"""What the heart of a verdict costs: the same search on 199 shuffled markets, by the clock, on all cores."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import worlds
from benchmarks.table import Line
from benchmarks.verdict import GRID
from optim.problem.plan import Plan, make_plan
from optim.spec.study import spec_from

MARKETS, TRIALS = 199, 200
SEARCHES: dict[str, dict[str, Any]] = {
    "grid": {"sampler": {"name": "GridSampler"}, "pruner": {"name": "NopPruner"}},
    "tpe": {"sampler": {"name": "TPESampler"}, "pruner": {"name": "MedianPruner"}},
}
LINES = (
    Line("199 searches of 200 grid points, 2,600 bars", "s", "grid"),
    Line("199 searches of 200 TPE trials, MedianPruner, 5 folds", "s", "tpe"),
)


def main() -> dict[str, Any]:
    """Seconds for all markets of one kind; the start of the workers is in it."""
    return {name: seconds(name) for name in SEARCHES}


def seconds(kind: str) -> float:
    """Of a null that never is certain, so that every market is searched."""
    from optim.record.record import open_record
    from optim.verdict.null_search import search_markets

    with tempfile.TemporaryDirectory() as folder:
        plan = study(kind, Path(folder))
        record = open_record(plan.storage, "s", ["maximize"], plan.fingerprint(), {}, ["sharpe_ratio"])
        started = time.perf_counter()
        null = search_markets(plan, record, math.inf)
        assert null is not None
        assert [len(arm.winners) for arm in null.arms] == [MARKETS]
        return time.perf_counter() - started


def study(kind: str, folder: Path) -> Plan:
    """200 trials of a crossover on 2,600 bars of noise."""
    from engine.data.load import to_frame

    to_frame(worlds.market(worlds.noise_iid, 1)).rename_axis("date").to_parquet(folder / "bars.parquet")
    strategy: dict[str, Any] = {"name": "ma_crossover"}
    if kind == "grid":
        strategy |= {"search_space": GRID, "fixed": {"ma_type": "sma"}}
    table = {
        "study": {"name": "null", "objective": "sharpe_ratio", "n_trials": TRIALS, "seed": 1, **SEARCHES[kind]},
        "data": {"path": "bars.parquet"},
        "strategy": strategy,
        "backtest": {"fee_bps": 2.0, "slippage_bps": 1.0},
        "evaluation": {"folds": 1 if kind == "grid" else 5, "holdout": 0.0},
        "validation": {"null": {"markets": MARKETS, "block": 1}},
        "tracking": {"enabled": False},
    }
    return make_plan(spec_from(table, folder))
