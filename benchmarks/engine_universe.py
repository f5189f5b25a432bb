"""A universe: 500 instruments with holes, 5,000 bars, 100 trials on one account; time, and memory beyond the bars."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_sweep import COSTS, daily_bars
from benchmarks.table import Line
from engine.data.bars import Bars, take
from engine.data.calendar import union
from engine.data.cells import split
from engine.evaluate import evaluate
from engine.simulator.account import make_account
from engine.strategies.base import load_strategy

K, N, TRIALS, FOLDS = 500, 5_000, 100, 5
PLAIN = 20  # trials without holes
LINES = (
    Line("a trial of 500 instruments with holes, 5,000 bars, five folds", "ms", "ms_per_trial"),
    Line("peak memory of 100 such trials beyond the bars", "MB", "beyond_mb", "the bars", "bars_mb"),
)


def main() -> dict[str, Any]:
    """Milliseconds a trial, and peak memory of a process that runs them all, beyond what it had with the bars."""
    whole, beyond, size = measured("holes", TRIALS)
    plain, _, _ = measured("none", PLAIN)
    return {
        "ms_per_trial": 1e3 * whole / TRIALS,
        "ms_per_trial_without_holes": 1e3 * plain / PLAIN,
        "bars_mb": size,
        "beyond_mb": beyond,
        "beyond_the_bars": beyond / size,
    }


def measured(holes: str, n_trials: int) -> tuple[float, float, float]:
    """Seconds of all trials, megabytes beyond the bars, megabytes of the bars, in a fresh process."""
    code = f"from benchmarks.engine_universe import trials; print(*trials({holes!r}, {n_trials}))"
    seconds, beyond, size = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    return float(seconds), float(beyond), float(size)


def universe(holes: str) -> tuple[Bars, ...]:
    """A third listed late, a third delisted early, one bar in fifty missing; or none of it."""
    rng, found = np.random.default_rng(0), []
    bars = daily_bars(N, 0.0005)
    for i in range(K):
        kept = rng.random(N) > 0.02
        kept[: (i % 3 == 1) * int(rng.integers(1, N - 100))] = False
        kept[N - (i % 3 == 2) * int(rng.integers(1, N - 100)) :] = False
        scaled = bars._replace(**{name: getattr(bars, name) * (1 + i / K) for name in ("open", "high", "low", "close")})
        found.append(take(scaled, kept if holes == "holes" else np.ones(N, dtype=bool)))
    for one in found:
        for column in one:
            column.setflags(write=False)
    return union(found)


def trials(holes: str, n_trials: int) -> tuple[float, float, float]:
    """Seconds, megabytes beyond the bars, megabytes of the bars."""
    instruments = universe(holes)
    strategy, account = load_strategy("ma_crossover"), make_account(dict(COSTS))
    cells, _ = split(N, folds=FOLDS, holdout=0.0, instrument=-1)
    size = sum(column.nbytes for bars in instruments for column in bars[1:]) + instruments[0].timestamp.nbytes

    def one(slow: int, bars: tuple[Bars, ...]) -> None:
        for cell in cells if len(bars) == K else cells[:1]:
            outcome = evaluate(strategy, {"fast_window": 10, "slow_window": slow}, account, bars, cell, 252.0)
            assert not outcome.error, outcome.error

    one(50, instruments[:2])  # compiled
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, at what is held now
    before = _peak()
    start = time.perf_counter()
    for i in range(n_trials):
        one(50 + i, instruments)
    return time.perf_counter() - start, _peak() - before, size / 2**20


def _peak() -> float:
    """Megabytes; Linux only."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024
