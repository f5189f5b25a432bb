"""A sweep of 100,000 grid points over 5,000 daily bars: record on, tracking of the best hundred, two workers.

Prints and returns the wall and the CPU time of the whole command, imports and MLflow's own start included.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.table import Line

N_BARS, N_POINTS = 5_000, 100_000
LINES = (
    Line("`optim run`, 100,000 grid points, 5,000 bars, untracked", "s", "seconds_tracking_false"),
    Line("the same with MLflow, the best hundred as runs", "s", "seconds_tracking_true"),
)
STUDY = """
[study]
name = "sweep"
objective = "sharpe_ratio"
n_trials = {n_points}
sampler = {{ name = "GridSampler" }}
[data]
path = "bars.parquet"
[strategy]
name = "ma_crossover"
fixed = {{ ma_type = "sma" }}
[strategy.search_space]
constraints = ["fast_window < slow_window"]
[strategy.search_space.parameters]
fast_window = {{ type = "int", low = 2, high = 400 }}
slow_window = {{ type = "int", low = 3, high = 500 }}
[backtest]
fee_bps = 5.0
[evaluation]
folds = 1
[parallel]
n_jobs = 2
[tracking]
enabled = {tracking}
children = "top:100"
"""


def main(n_points: int = N_POINTS) -> dict[str, float]:
    """Seconds of the whole sweep with and without tracking."""
    figures: dict[str, float] = {"n_bars": N_BARS, "n_points": n_points}
    for tracking in ("false", "true"):
        with tempfile.TemporaryDirectory() as name:  # each with a record of its own
            bars(N_BARS).to_parquet(Path(name) / "bars.parquet")
            seconds, cpu_seconds = sweep(Path(name), n_points, tracking)
        figures[f"seconds_tracking_{tracking}"] = seconds
        figures[f"cpu_seconds_tracking_{tracking}"] = cpu_seconds
    figures["ms_per_point"] = 1000 * figures["seconds_tracking_true"] / n_points
    print(json.dumps(figures, indent=2))
    return figures


def sweep(folder: Path, n_points: int, tracking: str) -> tuple[float, float]:
    """Wall and CPU time of `optim run` as a user sees it, imports and all."""
    study = folder / "sweep.toml"
    study.write_text(STUDY.format(n_points=n_points, tracking=tracking))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "optim", "run", str(study), "--json"]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = json.loads(done.stdout)["counts"]
    assert sum(counts[k] for k in ("complete", "pruned", "failed")) == n_points
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bars(n_bars: int) -> pd.DataFrame:
    """A random walk with open, high and low around it."""
    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0002, 0.01, n_bars)))
    open_ = close * np.exp(rng.normal(0, 0.002, n_bars))
    high = np.maximum(open_, close) * (1 + rng.uniform(0, 0.005, n_bars))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, 0.005, n_bars))
    dates = pd.date_range("2000-01-03", periods=n_bars, freq="B")
    return pd.DataFrame({"date": dates, "open": open_, "high": high, "low": low, "close": close, "volume": 1e6})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_POINTS)
