"""Long series and many rows: memory, linearity in the bars, and what the second thread brings."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pandas as pd

from benchmarks.engine_sweep import COSTS, FEE, METRICS, SLIP, daily_bars, in_turns
from benchmarks.limit import fused
from benchmarks.table import Line
from engine import sweep

LINES = (
    *(
        Line(
            f"a crossover, {n:,} bars, a bar",
            "ns",
            f"ns_per_bar/{n} bars/ours",
            "fused loop",
            f"ns_per_bar/{n} bars/limit",
        )
        for n in (5_000, 50_000, 1_000_000)
    ),
    Line("two threads, 1,000,000 bars, speed-up", "times", "two_threads_speed_up"),
)


def main(n_rows: int = 1_000) -> dict[str, Any]:
    """Nanoseconds per bar and backtest; speed-up of two threads (wall time); peak memory in a process of its own."""
    figures: dict[str, Any] = {"ns_per_bar": {}}
    for n_bars, repeats in ((5_000, 100), (50_000, 10), (1_000_000, 4)):
        bars = daily_bars(n_bars, 0.0005)
        table = pd.concat([rows_of(8)] * repeats, ignore_index=True)  # the same windows: as many trades per bar
        works: dict[str, Callable[[], object]] = {
            "ours": lambda bars=bars, table=table: sweep(
                bars, "ma_crossover", table, metrics=METRICS, n_jobs=1, **COSTS
            ),
            "limit": lambda bars=bars, table=table: [
                fused(bars.open, bars.close, fast, slow, FEE, SLIP) for fast, slow in table.to_numpy().tolist()
            ],
        }
        seconds = in_turns(works, 5)
        figures["ns_per_bar"][f"{n_bars} bars"] = {k: 1e9 * v / len(table) / n_bars for k, v in seconds.items()}
    # a thread's first touch of its memory costs as much as some rows: enough rows, so that it does not count
    bars, table = daily_bars(1_000_000, 0.0005), rows_of(100)
    wall = {n_jobs: statistics.median(wall_time(bars, table, n_jobs) for _ in range(5)) for n_jobs in (1, 2)}
    figures["two_threads_speed_up"] = wall[1] / wall[2]
    code = f"from benchmarks.engine_scale import peak; print(peak({n_rows}))"
    before, after, spent = eval_floats(subprocess.check_output([sys.executable, "-c", code], text=True))
    figures["peak_memory_mb"] = {"with the bars loaded": before, f"after {n_rows} rows": after, "above": after - before}
    figures["seconds_for_all_rows"] = spent
    return figures


def rows_of(n: int) -> pd.DataFrame:
    """n window pairs."""
    return pd.DataFrame({"fast_window": [5 + i % 40 for i in range(n)], "slow_window": [50 + i for i in range(n)]})


def wall_time(bars: Any, table: pd.DataFrame, n_jobs: int) -> float:
    """Seconds for the table."""
    start = time.perf_counter()
    sweep(bars, "ma_crossover", table, metrics=METRICS, n_jobs=n_jobs)
    return time.perf_counter() - start


def peak(n_rows: int) -> str:
    """Peak resident megabytes before and after a sweep over 1,000,000 bars, and its seconds; for a fresh process."""
    bars = daily_bars(1_000_000, 0.0005)
    sweep(bars, "ma_crossover", rows_of(1), metrics=METRICS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = wall_time(bars, rows_of(n_rows), 2)
    return f"{before} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} {seconds}"


def eval_floats(text: str) -> list[float]:
    """Numbers separated by spaces."""
    return [float(word) for word in text.split()]
