"""A sweep on one thread and on two, beside hand-fused loops on the same threads: the same crossovers as engine_sweep.

By the clock, in turns: what a second thread can bring at all on this machine is what it brings the loops.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.engine_sweep import FEE, METRICS, PAIRS, SLIP, daily_bars, ours
from benchmarks.limit import fused, fused_over_means
from benchmarks.table import Line
from engine import sma
from engine.data.bars import Bars

LINES = (
    Line("sweep of 1,225 crossovers, 5,000 bars, one thread, by the clock", "us", "ours_1", "fused loop", "fused_1"),
    Line("the same on two threads", "us", "ours_2", "fused loop on two", "fused_2"),
    Line("the same on two threads", "us", "ours_2", "fused loop over means given, on two", "over_means_2"),
    Line("two threads, 5,000 bars, speed-up", "times", "speed_up", "of the fused loop", "fused_speed_up"),
)


def main(n_bars: int = 5_000, repeats: int = 31) -> dict[str, Any]:
    """Microseconds per backtest, the median of each; the speed-up of the second thread."""
    bars = daily_bars(n_bars)
    check(bars)
    works: dict[str, Callable[[], object]] = {}
    for n in (1, 2):
        works[f"ours_{n}"] = lambda n=n: ours(bars, n_jobs=n)
        works[f"fused_{n}"] = lambda n=n: on_threads(n, lambda f, s: fused(bars.open, bars.close, f, s, FEE, SLIP))
        works[f"over_means_{n}"] = lambda n=n: over_means(bars, n)
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):  # the first compiles
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                times[name].append(1e6 * (time.perf_counter() - start) / len(PAIRS))
    figures: dict[str, Any] = {name: statistics.median(found) for name, found in times.items()}
    figures["least"] = {name: min(found) for name, found in times.items()}
    for name in ("ours", "fused", "over_means"):
        figures["speed_up" if name == "ours" else f"{name}_speed_up"] = figures[f"{name}_1"] / figures[f"{name}_2"]
    return figures


def on_threads(n: int, work: Callable[[int, int], object]) -> None:
    """Every pair of windows, each n-th by one thread."""
    pairs = PAIRS.to_numpy().tolist()

    def part(first: int) -> None:
        for pair in pairs[first::n]:
            work(*pair)

    with ThreadPoolExecutor(n) as pool:
        list(pool.map(part, range(n)))


def over_means(bars: Bars, n: int) -> None:
    """The loop over shared means, which are computed first, once each, as a sweep does."""
    means = {window: sma(bars.close, window) for window in np.unique(PAIRS.to_numpy()).tolist()}
    on_threads(n, lambda f, s: fused_over_means(bars.open, bars.close, means[f], means[s], FEE, SLIP))


def check(bars: Bars) -> None:
    """The loops compute what the sweep computes, or they are no limit."""
    for row in ours(bars).iloc[::97].itertuples():
        fast, slow = sma(bars.close, row.fast_window), sma(bars.close, row.slow_window)
        found = fused_over_means(bars.open, bars.close, fast, slow, FEE, SLIP)
        np.testing.assert_allclose([getattr(row, name) for name in METRICS], found, rtol=1e-8)
