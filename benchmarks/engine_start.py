"""How long the first backtest of a process takes: with an empty kernel cache, and with a warm one."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.table import Line

LINES = (
    Line("import of the engine", "s", "import_s"),
    Line("first backtest, kernels compiled", "s", "first_backtest_cold_s"),
    Line("first backtest, kernels from the cache", "s", "first_backtest_warm_s"),
)
NUMBA = """
import time
from engine.strategies.indicators import roc
import numpy as np
cpu = time.process_time()
roc(np.ones(5), 2)
print(0, time.process_time() - cpu)
"""
FIRST = """
import time
cpu = time.process_time()
from engine.simulator.account import Account
from engine.data.bars import make_bars
from engine.data.cells import Cell
from engine.evaluate import evaluate
from engine.strategies.base import load_strategy
import numpy as np
imported = time.process_time() - cpu
price = 100 + np.sin(np.arange(500.0))
bars = make_bars(np.arange(500) * 86_400_000_000_000, price, price, price, price, price)
cpu = time.process_time()
strategy = load_strategy("ma_crossover")
outcome = evaluate(strategy, {"fast_window": 5, "slow_window": 20}, Account(), (bars,), Cell(0, 0, 500), 252.0)
assert not outcome.error, outcome.error
print(imported, time.process_time() - cpu)
"""


def main(repeats: int = 5) -> dict[str, Any]:
    """Processor seconds of the import and of the first backtest of a process.

    numba spends a part of the warm start on itself, at the first call of any kernel; the smallest one shows how much.
    """
    with tempfile.TemporaryDirectory() as folder:
        cold = run(folder, FIRST)
        run(folder, NUMBA)
        warm = [run(folder, FIRST) for _ in range(repeats)]
        numba = [run(folder, NUMBA) for _ in range(repeats)]
    return {
        "import_s": statistics.median(one[0] for one in warm),
        "first_backtest_cold_s": cold[1],
        "first_backtest_warm_s": statistics.median(one[1] for one in warm),
        "of_which_numba_itself_s": statistics.median(one[1] for one in numba),
    }


def run(folder: str, code: str) -> list[float]:
    """What `code` prints in a fresh process that keeps its kernels in `folder`."""
    environment = {**os.environ, "OPTIM_CACHE_DIR": folder}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    return [float(word) for word in printed.split()]
