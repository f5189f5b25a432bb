"""Compiled kernels and their plain Python source give the same metrics, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTCOMES = """
import json
import numpy as np
from engine.simulator.account import Account
from engine.data.cells import Cell
from engine.check import draw_params, random_bars
from engine.evaluate import evaluate
from engine.strategies.base import builtin_names, load_strategy

ACCOUNTS = (
    Account(fee_bps=10, slippage_bps=5),
    Account(trade_on="close", fee_bps=10, min_fee=1, borrow_bps=2, funding_bps=1, max_drawdown_stop=0.3),
    Account(stop_pct=0.03, take_profit_pct=0.05, risk_per_trade=0.01, max_leverage=3, fixed_fee=1),
    Account(trailing_stop_pct=0.05, max_holding_bars=5, rebalance_threshold=0.05, volatility_target=0.3),
    Account(fixed_fraction=3, max_leverage=3, maintenance_margin=0.25, max_volume_share=0.2, lot_size=1),
)
found = {}
for name in builtin_names():
    strategy, rng = load_strategy(name), np.random.default_rng(7)
    bars = random_bars(rng, 600), random_bars(rng, 600)
    cell = Cell(-1 if strategy.joint else 0, 150, 600)
    for i, params in enumerate(draw_params(strategy, rng, 3)):
        for j, account in enumerate(ACCOUNTS):
            outcome = evaluate(strategy, params, account, bars, cell, 252.0)
            found[f"{name} {i} {j}"] = outcome.error or {k: v.hex() for k, v in outcome.metrics.items()}
print(json.dumps(found))
"""


def outcomes(disable: str) -> dict[str, object]:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": disable, "PYTHONPATH": str(ROOT)}
    printed = subprocess.check_output([sys.executable, "-c", OUTCOMES], env=environment, text=True)
    return dict(json.loads(printed))


def test_compiled_and_plain_python_agree_to_the_last_bit() -> None:
    compiled, plain = outcomes("0"), outcomes("1")
    assert compiled.keys() == plain.keys()
    assert sum(isinstance(outcome, dict) for outcome in compiled.values()) > 100
    different = [key for key in compiled if compiled[key] != plain[key]]
    assert different == [], {key: (compiled[key], plain[key]) for key in different[:1]}
