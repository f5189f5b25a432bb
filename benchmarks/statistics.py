"""What a verdict costs: each statistic over ten years of days and a thousand trials, in processor seconds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.table import Line
from optim.validation.bootstrap import sharpe_confidence_interval
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import reality_check, romano_wolf, spa
from optim.validation.selection import winner_interval
from optim.validation.statistics import effective_trials, long_run_probabilistic_sharpe_ratio

ROWS, COLUMNS, REPEATS = 2500, 1000, 5

LINES = (
    Line("overfitting, 2,500 x 1,000, 12,870 splits", "s", "probability_of_backtest_overfitting_12870_splits/wall_s"),
    Line("SPA, 2,500 x 1,000, 1,000 draws", "s", "spa_1000_draws/wall_s"),
    Line("Romano-Wolf, 2,500 x 1,000, 1,000 draws", "s", "romano_wolf_1000_draws/wall_s"),
)


def main() -> dict[str, Any]:
    """The fastest of five runs each: of all threads, and by the clock."""
    returns = np.random.default_rng(0).normal(0, 0.01, (ROWS, COLUMNS))
    calls = {
        "effective_trials": lambda: effective_trials(returns),
        "long_run_probabilistic_sharpe_ratio": lambda: long_run_probabilistic_sharpe_ratio(returns[:, 0]),
        "sharpe_confidence_interval_2000_draws": lambda: sharpe_confidence_interval(returns[:, 0]),
        "probability_of_backtest_overfitting_12870_splits": lambda: probability_of_backtest_overfitting(returns),
        "reality_check_1000_draws": lambda: reality_check(returns, 0),
        "spa_1000_draws": lambda: spa(returns, 0),
        "romano_wolf_1000_draws": lambda: romano_wolf(returns, 0),
        "winner_interval_2000_draws": lambda: winner_interval(returns),
    }
    figures: dict[str, Any] = {"rows": ROWS, "columns": COLUMNS}
    for name, call in calls.items():
        seconds = [measure(call) for _ in range(REPEATS)]
        figures[name] = {"cpu_s": min(cpu for cpu, _ in seconds), "wall_s": min(wall for _, wall in seconds)}
    return figures


def measure(call: Any) -> tuple[float, float]:
    """Processor and clock seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall
